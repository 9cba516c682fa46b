package org.ecluse.interop;

import static org.ecluse.interop.Bytes.b64u;
import static org.ecluse.interop.Bytes.hex;
import static org.ecluse.interop.Bytes.unb64u;
import static org.ecluse.interop.Forms.TERM_LIST;
import static org.ecluse.interop.Forms.TEXT;
import static org.ecluse.interop.Forms.closed;
import static org.ecluse.interop.Forms.is;
import static org.ecluse.interop.Json.text;
import static org.ecluse.interop.Refusal.demand;

import java.security.PrivateKey;
import java.time.Instant;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Predicate;

/** §4: terms, their digest, and who has validly signed them. */
record Agreement(Map<String, Object> terms, String sha256, Set<String> signed) {
    private static final Predicate<Object> TRUE = Boolean.TRUE::equals;
    private static final Map<String, Predicate<Object>> ASSURANCE = Forms.forms(is("end_to_end_encrypted", TRUE), is("ordered", TRUE),
        is("origin_signed", TRUE), is("recall_ack", TRUE), is("receipt", Forms.among("signed", "fetched")), is("style", Forms.among("pull")));
    private static final Map<String, Predicate<Object>> PROTOCOL = Forms.forms(is("bodies", TERM_LIST), is("controllers", TERM_LIST),
        is("dpo_contacts", TERM_LIST), is("purposes", TERM_LIST), is("legal_basis", TEXT), is("restrictions_on_rights", TEXT));
    private static final Map<String, Predicate<Object>> TERMS = Forms.forms(is("series", TEXT), is("version", Forms.count(1)),
        is("parties", Forms.listOf(Forms.ORG, 2, 2)), is("recipient_kinds", Forms.OBJECT),
        is("regime", Forms.among("BE-OCAM", "BE-POLICE", "BE-INTEL", "SPOC")), is("route", Forms.among("police", "intelligence", "other")),
        is("legal_basis", TEXT), is("purposes", TERM_LIST), is("kinds", TERM_LIST), is("lifts", TERM_LIST),
        is("ceiling", object(Forms.forms(is("policy", TEXT), is("level", TEXT)), Set.of())), is("retention_days", Forms.count(1)),
        is("onward", Forms.among("none", "originator-consent")), is("suites", Forms.listOf(Forms.among(Container.HPKE, Container.JWE), 1, 1)),
        is("signature_profiles", Forms.listOf(Forms.among("classic", "hybrid"), 1, 1)), is("formats", TERM_LIST), is("languages", TERM_LIST),
        is("not_before", Forms.INSTANT), is("not_after", Forms.INSTANT), is("protocol", object(PROTOCOL, Set.of())),
        is("minimum_assurance", object(ASSURANCE, ASSURANCE.keySet())),
        is("bulk", object(Forms.forms(is("records", Forms.count(1)), is("days", Forms.count(1))), Set.of())));

    private static Predicate<Object> object(Map<String, Predicate<Object>> forms, Set<String> optional) {
        return value -> closed(value, forms, "malformed", optional) != null;
    }

    private static Map<String, Object> header(Object kid) {
        return Json.of("alg", "ES256", "kid", kid, "typ", "ecluse-agreement+jws", "crit", List.of("b64"), "b64", false);
    }

    /** The agreement as it travels, with our signature alone. */
    static Map<String, Object> offer(Object terms, String org, PrivateKey key) {
        byte[] raw = Json.canonical(terms);
        String token = Jws.sign(header(org + "/agreement"), raw, key, true);
        return Json.of("terms", b64u(raw), "signatures", Json.of(org, token));
    }

    static Agreement read(Map<String, Object> agreement, Map<String, Map<String, Object>> entries, Instant now) {
        byte[] raw = unb64u(text(agreement, "terms"));
        Map<String, Object> terms = closed(Json.canonicalExact(raw), TERMS, "malformed", Set.of("bulk"));
        List<Object> parties = Json.list(terms.get("parties"));
        demand(!parties.get(0).equals(parties.get(1)), "an agreement with itself");
        demand(text(terms, "not_before").compareTo(text(terms, "not_after")) < 0, "no period");
        demand(entries.keySet().containsAll(parties), "wrong-audience", "between others");
        Map<String, Object> signatures = Json.object(agreement.get("signatures"));
        signatures.forEach((org, token) -> {
            demand(parties.contains(org), "signed by a third");
            var jws = Jws.Detached.of((String) token, "signature-invalid");
            var record = Keys.valid(entries.get(org), "agreement", "ES256", now)
                .filter(key -> Arrays.equals(Json.ordered(header(key.get("kid"))), jws.head())).findFirst()
                .orElseThrow(() -> new Refusal("signature-invalid", "no such agreement key"));
            Jws.verify(jws.protectedHeader(), raw, jws.signature(), record, "signature-invalid");
        });
        return new Agreement(terms, hex(Bytes.sha256(raw)), Set.copyOf(signatures.keySet()));
    }

    /** The one suite, or the one profile. */
    String only(String member) {
        return (String) Json.list(terms.get(member)).get(0);
    }

    boolean allows(String member, Object value) {
        return Json.list(terms.get(member)).contains(value);
    }
}
