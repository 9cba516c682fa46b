package org.ecluse.interop;

import static org.ecluse.interop.Bytes.unb64u;
import static org.ecluse.interop.Forms.is;
import static org.ecluse.interop.Json.text;
import static org.ecluse.interop.Refusal.demand;

import java.security.PrivateKey;
import java.time.Instant;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import java.util.function.Predicate;

/** §12 receipts, made and verified. */
final class Receipt {
    private static final long SKEW = 300;
    private static final Map<String, Predicate<Object>> ITEM = Forms.forms(is("id", Forms.UUID4), is("payload_sha256", Forms.DIGEST),
        is("outcome", Forms.among("accepted", "refused", "not-processed")), is("code", Forms.among("malformed", "schema-violation",
            "signature-invalid", "wrong-audience", "replayed", "out-of-order", "digest-conflict", "outside-agreement", "mis-sent")),
        is("expected", Forms.count(1)));
    private static final Map<String, Predicate<Object>> STATEMENT = Forms.forms(is("v", Forms.among(1L)), is("id", Forms.UUID4),
        is("iss", Forms.ORG), is("aud", Forms.ORG), is("at", Forms.INSTANT), is("items", Forms.listOf(Receipt::isItem, 1, 64)),
        is("checkpoint", Forms.characters(0, 8192)));

    private Receipt() {}

    private static boolean isItem(Object value) {
        Map<String, Object> item = Forms.closed(value, ITEM, "malformed", Set.of("code", "expected"));
        return item.get("outcome").equals("refused") == item.containsKey("code")
            && "out-of-order".equals(item.get("code")) == item.containsKey("expected");
    }

    private static Map<String, Object> header(Object kid) {
        return Json.of("alg", "ES256", "kid", kid, "typ", "ecluse-receipt+jws");
    }

    static String sign(Map<String, Object> statement, String kid, PrivateKey key) {
        return Jws.sign(header(kid), Json.canonical(statement), key, false);
    }

    /** What a sender verifies; `sent`: message id to digest. Gives the statement. */
    static Map<String, Object> verify(String token, Map<String, Object> entry, String us, Map<String, String> sent, Instant now, Consumer<String> head) {
        String[] segments = token.split("\\.", -1);
        demand(segments.length == 3, "no compact JWS");
        byte[] protectedHeader = unb64u(segments[0]);
        var record = Keys.valid(entry, "receipt", "ES256", now)
            .filter(key -> Arrays.equals(Json.ordered(header(key.get("kid"))), protectedHeader)).findFirst()
            .orElseThrow(() -> new Refusal("signature-invalid", "no such receipt key"));
        byte[] raw = unb64u(segments[1]);
        Jws.verify(segments[0], raw, segments[2], record, "signature-invalid");
        demand(raw.length <= 65536, "a statement too long");
        Map<String, Object> statement = Forms.closed(Json.canonicalExact(raw), STATEMENT, "malformed");
        List<Map<String, Object>> items = items(statement);
        Map<String, Object> digests = new java.util.HashMap<>();
        items.forEach(item -> digests.put(text(item, "id"), item.get("payload_sha256")));
        demand(digests.size() == items.size(), "a message twice");
        demand(text(statement, "iss").equals(text(entry, "org")) && text(statement, "aud").equals(us), "wrong-audience", "a receipt of others");
        demand(!Instant.parse(text(statement, "at")).isAfter(now.plusSeconds(SKEW)), "from the future");
        demand(new HashSet<>(digests.keySet()).containsAll(sent.keySet()), "a message is missing");
        sent.forEach((id, digest) -> demand(digest.equals(digests.get(id)), "digest-conflict", "other bytes than sent"));
        if (!text(statement, "checkpoint").isEmpty()) {
            head.accept(text(statement, "checkpoint"));
        }
        return statement;
    }

    static List<Map<String, Object>> items(Map<String, Object> statement) {
        return Json.list(statement.get("items")).stream().map(Json::object).toList();
    }
}
