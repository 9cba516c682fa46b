package org.ecluse.interop;

import static org.ecluse.interop.Forms.among;
import static org.ecluse.interop.Forms.is;
import static org.ecluse.interop.Forms.range;
import static org.ecluse.interop.Refusal.demand;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** §10: the record kind bdc-person/1.0, member by member. */
final class Person {
    static final String KIND = "bdc-person/1.0";
    private static final String CODE = "schema-violation";
    private static final Predicate<Object> LINE = visible(false).and(Forms.characters(1, 200));
    private static final Predicate<Object> FREE = visible(true).and(Forms.characters(1, 4000));
    private static final Predicate<Object> REFERENCE = Forms.text("[0-9A-Za-z][0-9A-Za-z ./:-]{0,63}");
    private static final Predicate<Object> DATE = Forms.DAY.and(Forms.text("(19|20).*"));
    private static final Predicate<Object> COUNTRY = Forms.NATION;
    private static final Predicate<Object> SOURCE = among("A", "B", "C", "X");
    private static final Predicate<Object> INFO = range(1, 4);
    private static final Map<String, Predicate<Object>> MEMBERS = members();

    private Person() {}

    private static Map<String, Predicate<Object>> members() {
        Map<String, Predicate<Object>> members = new LinkedHashMap<>();
        members.put("ref", Forms.text("p-[0-9a-f]{32}"));
        members.put("category", all(is("code", among("FTF", "HTF", "PH", "EPV", "PCT")), is("criterion", among("a", "b", "c", "d", "e"))));
        members.put("names", list(64, some(List.of("type", "script", "quality"), List.of("family", "given", "kunya", "text"),
            is("type", among("birth", "alias", "false-identity")), is("script", Forms.text("[A-Z][a-z]{3}")),
            is("quality", among("high", "medium", "low")), is("family", LINE), is("given", LINE), is("kunya", LINE), is("text", LINE),
            is("patronymic", LINE), is("transliteration", all(is("text", LINE), is("scheme", REFERENCE))), is("source_grade", SOURCE),
            is("info_grade", INFO))));
        members.put("sex", among("M", "F", "X", "U"));
        members.put("birth", list(16, some(List.of("date", "precision"), List.of(), is("date", Forms.text("(19|20)\\d\\d(-\\d\\d(-\\d\\d)?)?")),
            is("precision", among("year", "month", "day")), is("about", Forms.BOOLEAN), is("place", LINE), is("country", COUNTRY),
            is("country_today", COUNTRY), is("source", LINE))));
        members.put("nationalities", list(16, COUNTRY));
        members.put("documents", list(64, some(List.of("type", "number"), List.of(),
            is("type", among("passport", "identity-card", "residence-permit", "other")), is("number", REFERENCE), is("issuer", COUNTRY),
            is("status", among("valid", "stolen", "lost", "expired", "invalidated")))));
        members.put("threat", some(List.of("level", "date"), List.of(), is("level", INFO), is("date", DATE), is("valid_until", DATE)));
        members.put("measures", list(64, some(List.of("type", "state"), List.of(),
            is("type", among("identity-card-withdrawal", "passport-withdrawal", "asset-freeze", "travel-ban", "other")),
            is("state", among("proposed", "in-force", "lifted", "expired")), is("basis", LINE), is("from", DATE), is("to", DATE))));
        members.put("detention_release", some(List.of("date"), List.of(), is("date", DATE), is("establishment", LINE), is("conditions", FREE),
            is("destination", LINE)));
        members.put("source_grade", SOURCE);
        members.put("info_grade", INFO);
        members.put("description", some(List.of(), List.of("height_cm", "eyes", "hair", "marks"), is("height_cm", range(20, 280)),
            is("eyes", LINE), is("hair", LINE), is("marks", FREE)));
        members.put("photos", list(16, all(is("sha256", Forms.DIGEST), is("media_type", among("image/jpeg", "image/png")))));
        members.put("addresses", list(64, some(List.of("country"), List.of(), is("country", COUNTRY), is("street", LINE), is("city", LINE),
            is("from", DATE), is("to", DATE))));
        members.put("fingerprint", all(is("reference", REFERENCE)));
        members.put("contacts", list(64, all(is("type", among("phone", "email", "account")), is("value", LINE))));
        members.put("links", list(64, some(List.of("type", "other"), List.of(),
            is("type", among("associate", "family", "recruiter", "financier", "travelled-with")), is("other", Forms.text("[A-Z]+-[0-9]+").and(Forms.characters(1, 64))),
            is("note", FREE))));
        members.put("national_number", REFERENCE);
        members.put("financial", all(is("summary", FREE)));
        members.put("special", all(is("kind", among("ethnic-origin", "opinion", "belief")), is("text", FREE)));
        return members;
    }

    static void read(Map<String, Object> record) {
        Set<String> optional = new LinkedHashSet<>(MEMBERS.keySet());
        List.of("ref", "category", "names").forEach(optional::remove);
        Forms.closed(record, MEMBERS, CODE, optional);
        demand(Forms.sameOrder(record, MEMBERS.keySet()), "a record in another order");
        record.values().forEach(Person::demandSorted);
    }

    private static void demandSorted(Object value) {
        if (value instanceof List<?> items) {
            items.forEach(Person::demandSorted);
        } else if (value instanceof Map) {
            List<String> names = new ArrayList<>(Json.object(value).keySet());
            demand(names.equals(names.stream().sorted().toList()), "an object that is not sorted");
            Json.object(value).values().forEach(Person::demandSorted);
        }
    }

    // --- forms ---

    private static Predicate<Object> list(int most, Predicate<Object> form) {
        return Forms.listOf(form, 1, most);
    }

    @SafeVarargs
    @SuppressWarnings("varargs")
    private static Predicate<Object> all(Map.Entry<String, Predicate<Object>>... forms) {
        return some(Arrays.stream(forms).map(Map.Entry::getKey).toList(), List.of(), forms);
    }

    /** An object with the members `required`, at least one of `either` if there are any, and perhaps the others. */
    @SafeVarargs
    @SuppressWarnings("varargs")
    private static Predicate<Object> some(List<String> required, List<String> either, Map.Entry<String, Predicate<Object>>... entries) {
        Map<String, Predicate<Object>> forms = Forms.forms(entries);
        Set<String> optional = Stream.of(entries).map(Map.Entry::getKey).filter(name -> !required.contains(name)).collect(Collectors.toSet());
        return value -> {
            Map<String, Object> object = Forms.closed(value, forms, CODE, optional);
            return either.isEmpty() || either.stream().anyMatch(object::containsKey);
        };
    }

    /** No control, separator or default-ignorable character, but for those that §10 names. */
    private static Predicate<Object> visible(boolean free) {
        return value -> {
            if (!(value instanceof String string)) {
                return false;
            }
            int[] points = string.codePoints().toArray();
            for (int i = 0; i < points.length; i++) {
                int point = points[i];
                boolean joiner = (point == 0x200c || point == 0x200d) && i > 0 && i + 1 < points.length && arabic(points[i - 1]) && arabic(points[i + 1]);
                boolean allowed = joiner || free && (point == '\t' || point == '\n' || point == 0x61c || point == 0x200e || point == 0x200f);
                if (!allowed && hidden(point)) {
                    return false;
                }
            }
            return true;
        };
    }

    private static boolean arabic(int point) {
        return Character.isLetter(point) && Character.UnicodeScript.of(point) == Character.UnicodeScript.ARABIC;
    }

    /** Default_Ignorable_Code_Point of Unicode is Cf for the most part, and these ranges. */
    private static boolean hidden(int point) {
        int type = Character.getType(point);
        boolean ignorable = type == Character.FORMAT && !(point >= 0x600 && point <= 0x605) && point != 0x6dd && point != 0x70f && point != 0x8e2
            && !(point >= 0xfff9 && point <= 0xfffb) && point != 0x110bd && point != 0x110cd;
        boolean listed = point == 0x34f || point == 0x115f || point == 0x1160 || point == 0x17b4 || point == 0x17b5 || point >= 0x180b && point <= 0x180f
            || point == 0x2065 || point == 0x3164 || point >= 0xfe00 && point <= 0xfe0f || point == 0xffa0 || point >= 0xfff0 && point <= 0xfff8
            || point >= 0xe0000 && point <= 0xe0fff;
        return type == Character.CONTROL || type == Character.LINE_SEPARATOR || type == Character.PARAGRAPH_SEPARATOR || ignorable || listed;
    }
}
