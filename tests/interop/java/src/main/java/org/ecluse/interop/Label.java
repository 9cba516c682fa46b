package org.ecluse.interop;

import static org.ecluse.interop.Forms.BOOLEAN;
import static org.ecluse.interop.Forms.NAME;
import static org.ecluse.interop.Forms.is;
import static org.ecluse.interop.Json.text;
import static org.ecluse.interop.Refusal.demand;

import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.Predicate;

/** §10 labels: form, rank, strictness. */
final class Label {
    private static final String CODE = "schema-violation";
    private static final List<String> TLP = List.of("CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED");
    private static final List<String> PAP = List.of("CLEAR", "GREEN", "AMBER", "RED");
    private static final List<String> SETS = List.of("releasable_to", "originators", "handling_code", "purpose", "legal_basis", "person", "caveat");
    private static final List<String> MORE = List.of("originators", "handling_code", "person", "caveat"); // is stricter
    private static final List<String> FEWER = List.of("purpose", "legal_basis"); // is stricter, and an empty one allows none
    private static final List<String> FLAGS = List.of("originator_control", "no_foreign", "embargo");
    private static final Predicate<Object> SHORT = Forms.text("\\P{Cntrl}+").and(Forms.characters(1, 64));
    private static final Map<String, Predicate<Object>> FORMS = Forms.forms(is("policy", SHORT), is("level", SHORT),
        is("releasable_to", set(NAME)), is("originators", set(NAME)), is("originator_control", BOOLEAN),
        is("handling_code", set(Forms.among("H0", "H1", "H2", "H3"))), is("tlp", Forms.among(TLP.toArray())), is("purpose", set(NAME)),
        is("retention_until", Forms.DAY), is("no_foreign", BOOLEAN), is("embargo", BOOLEAN),
        is("pap", Forms.among(PAP.toArray())), is("legal_basis", set(NAME)),
        is("person", set(Forms.among("suspect", "convicted", "contact", "victim", "witness", "minor"))),
        is("caveat", set(Forms.among("DIFFUSION RESTREINTE"))));

    /** The policies that are exchanged here; of the others no level has a rank, and a message with one is refused. */
    private static final Map<String, List<List<String>>> RANKS = Map.of(
        "BEL", List.of(List.of("UNCLASSIFIED", "NON CLASSIFIE", "NIET GECLASSIFICEERD"), List.of("RESTREINT", "BEPERKT"),
            List.of("CONFIDENTIEL", "VERTROUWELIJK"), List.of("SECRET", "GEHEIM"), List.of("TRES SECRET", "ZEER GEHEIM")),
        "EU", List.of(List.of("UNCLASSIFIED"), List.of("RESTREINT UE/EU RESTRICTED"), List.of("CONFIDENTIEL UE/EU CONFIDENTIAL"),
            List.of("SECRET UE/EU SECRET"), List.of("TR\u00c8S SECRET UE/EU TOP SECRET")),
        "FRA", List.of(List.of("UNCLASSIFIED"), List.of(), List.of(), List.of("SECRET"), List.of("TR\u00c8S SECRET")));

    private Label() {}

    private static Predicate<Object> set(Predicate<Object> form) {
        return Forms.listOf(form, 0, 256);
    }

    static void read(Object value) {
        Set<String> optional = new LinkedHashSet<>(FORMS.keySet());
        optional.removeAll(List.of("policy", "level"));
        Map<String, Object> label = Forms.closed(value, FORMS, CODE, optional);
        demand(Forms.sameOrder(label, FORMS.keySet()), "a label in another order");
        for (String name : SETS) {
            List<String> items = items(label, name);
            demand(!label.containsKey(name) || FEWER.contains(name) || !items.isEmpty(), "an empty set written out");
            demand(Set.copyOf(items).size() == items.size(), CODE, "a set with a repetition");
            demand(items.equals(items.stream().sorted().toList()), "a set out of order");
        }
        demand(FLAGS.stream().noneMatch(name -> Boolean.FALSE.equals(label.get(name))), "a default written out");
    }

    static int rank(Map<String, Object> label) {
        List<List<String>> ranks = RANKS.getOrDefault(text(label, "policy"), List.of());
        for (int rank = 0; rank < ranks.size(); rank++) {
            if (ranks.get(rank).contains(text(label, "level"))) {
                return rank;
            }
        }
        throw new Refusal(CODE, "a level without a rank");
    }

    static boolean releases(Map<String, Object> label, String org) {
        List<String> to = items(label, "releasable_to");
        return !label.containsKey("no_foreign") && (to.contains(org) || to.contains(state(org)));
    }

    /** `a` is at least as strict as `b` on every axis. */
    static boolean dominates(Map<String, Object> a, Map<String, Object> b) {
        List<String> wider = items(b, "releasable_to");
        return rank(a) >= rank(b)
            && items(a, "releasable_to").stream().allMatch(one -> wider.contains(one) || wider.contains(state(one)))
            && MORE.stream().allMatch(name -> items(a, name).containsAll(items(b, name)))
            && place(TLP, a, "tlp") >= place(TLP, b, "tlp")
            && place(PAP, a, "pap") >= place(PAP, b, "pap")
            && FEWER.stream().allMatch(name -> !b.containsKey(name) || a.containsKey(name) && items(b, name).containsAll(items(a, name)))
            && (!b.containsKey("retention_until")
                || a.containsKey("retention_until") && text(a, "retention_until").compareTo(text(b, "retention_until")) <= 0)
            && FLAGS.stream().allMatch(name -> a.containsKey(name) || !b.containsKey(name));
    }

    private static int place(List<String> scale, Map<String, Object> label, String name) {
        return label.containsKey(name) ? scale.indexOf(text(label, name)) : -1;
    }

    private static String state(String org) {
        return org.substring(0, 3).toUpperCase(Locale.ROOT);
    }

    private static List<String> items(Map<String, Object> label, String name) {
        List<String> items = new ArrayList<>();
        if (label.get(name) instanceof List<?> values) {
            values.forEach(value -> items.add((String) value));
        }
        return items;
    }
}
