package org.ecluse.interop;

import static org.ecluse.interop.Sending.expect;

import java.io.IOException;
import java.security.GeneralSecurityException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.function.BiFunction;
import java.util.function.Function;
import java.util.function.UnaryOperator;
import org.ecluse.interop.Partner.Lane;
import org.ecluse.interop.Partner.Sealed;

/** What is wrong, each in one way, and the code that the document gives it. */
final class Hostile {
    private static final Map<String, BiFunction<Partner, Lane, Sealed>> SPOILED = spoiled();
    private static final Map<String, Function<Partner, byte[]>> BROKEN = broken();

    private Hostile() {}

    private static Sealed spoil(Partner partner, Lane lane, Object... changes) {
        return partner.make("ping", lane, Map.of(), Json.of(changes), id());
    }

    private static String id() {
        return UUID.randomUUID().toString();
    }

    private static Sealed resigned(Sealed message, UnaryOperator<byte[]> change) {
        String[] parts = message.first().split("\\.", -1);
        return message.withFirst(parts[0] + ".." + Bytes.b64u(change.apply(Bytes.unb64u(parts[2]))));
    }

    private static byte[] flip(byte[] bytes, int at) {
        byte[] other = bytes.clone();
        other[at] ^= 1;
        return other;
    }

    private static Map<String, BiFunction<Partner, Lane, Sealed>> spoiled() {
        Map<String, BiFunction<Partner, Lane, Sealed>> cases = new LinkedHashMap<>();
        cases.put("signature-invalid, a bit of the signature", (partner, lane) -> resigned(partner.make("ping", lane), raw -> flip(raw, 5)));
        cases.put("signature-invalid, the high s", (partner, lane) -> resigned(partner.make("ping", lane), Jws::high));
        cases.put("signature-invalid, a head of another log",
            (partner, lane) -> spoil(partner, lane, "checkpoint", partner.log.head().replace("/partner/", "/partner/x")));
        cases.put("signature-invalid, the digest of another payload", (partner, lane) -> spoil(partner, lane, "payload_sha256", "0".repeat(64)));
        cases.put("outside-agreement, the other suite",
            (partner, lane) -> spoil(partner, lane, "suite", partner.suite().equals(Container.HPKE) ? Container.JWE : Container.HPKE));
        cases.put("outside-agreement, the other profile",
            (partner, lane) -> spoil(partner, lane, "sig_profile", partner.profile().equals("hybrid") ? "classic" : "hybrid"));
        cases.put("outside-agreement, another agreement", (partner, lane) -> spoil(partner, lane, "agreement", "0".repeat(64)));
        cases.put("replayed, expired", (partner, lane) -> spoil(partner, lane, "iat", 1700000000L, "exp", 1700000001L));
        cases.put("wrong-audience, another mode", (partner, lane) -> spoil(partner, lane, "mode", "operational"));
        cases.put("schema-violation, a recall of nothing", (partner, lane) -> partner.make("recall", lane));
        cases.put("schema-violation, an unknown member", (partner, lane) -> partner.make("ping", lane, Json.of("extra", true), Map.of(), id()));
        cases.put("mis-sent, releasable to others", (partner, lane) -> partner.make("disclosure", lane,
            Sending.disclosure(partner, "releasable_to", List.of("ESP")), Map.of(), id()));
        cases.put("outside-agreement, above the ceiling", (partner, lane) -> partner.make("disclosure", lane,
            Sending.disclosure(partner, "level", "SECRET"), Map.of(), id()));
        return cases;
    }

    private static Map<String, Function<Partner, byte[]>> broken() {
        Map<String, Function<Partner, byte[]>> cases = new LinkedHashMap<>();
        cases.put("malformed, a bit of the ciphertext", partner -> {
            byte[] item = Partner.wrap(spoil(partner, Lane.fresh()));
            return Bytes.prefixed(flip(item, item.length - 1));
        });
        cases.put("malformed, one message twice", partner -> {
            var message = spoil(partner, Lane.fresh());
            return Container.joinBatch(List.of(Partner.wrap(message), Partner.wrap(message)));
        });
        cases.put("malformed, bytes after the last", partner -> Bytes.concat(Bytes.prefixed(Partner.wrap(spoil(partner, Lane.fresh()))), new byte[1]));
        cases.put("malformed, a byte more", partner -> Bytes.prefixed(Bytes.concat(Partner.wrap(spoil(partner, Lane.fresh())), new byte[1])));
        cases.put("replayed, in the name of another", partner -> Bytes.prefixed(Partner.wrap(spoil(partner, Lane.fresh(), "iss", "nld.other-demo"))));
        cases.put("wrong-audience, to another", partner -> Bytes.prefixed(Partner.wrap(spoil(partner, Lane.fresh(), "aud", "nld.other-demo"))));
        return cases;
    }

    /** Each spoiled message gets its documented code, and leaves no mark: the same number is still the next. */
    static Map<String, Object> messages(Partner partner) throws IOException {
        Lane lane = Lane.fresh();
        for (var one : SPOILED.entrySet()) {
            String outcome = partner.send(one.getValue().apply(partner, lane)).outcomes();
            expect(one.getKey().startsWith(outcome + ","), one.getKey() + ": " + outcome);
        }
        var good = partner.make("ping", lane);
        var sent = partner.send(good);
        expect(sent.outcomes().equals("accepted"), "after all: " + sent.outcomes());
        var conflict = partner.send(partner.make("status", lane.at(2), Map.of(), Map.of(), good.id()));
        expect(conflict.outcomes().equals("digest-conflict"), "a known id: " + conflict.outcomes());
        return Json.of("ids", List.of(good.id()), "cases", SPOILED.size() + 1L);
    }

    /** Each broken POST is refused with its code and nothing more. */
    static Map<String, Object> posts(Partner partner) throws IOException {
        for (var one : BROKEN.entrySet()) {
            String code = one.getKey().split(",")[0];
            var answer = partner.client.post(one.getValue().apply(partner), Map.of());
            problem(one.getKey(), answer, code, code.equals("malformed") ? 400 : 403);
        }
        byte[] body = Bytes.prefixed(Partner.wrap(spoil(partner, Lane.fresh())));
        var client = partner.client;
        problem("media type", client.post(body, Map.of("Content-Type", "application/json")), "malformed", 400);
        problem("encoded", client.post(body, Map.of("Content-Encoding", "gzip")), "malformed", 400);
        var chunked = Map.of("Content-Type", Http.BATCH, "Transfer-Encoding", "chunked");
        problem("chunks", client.ask("POST", Http.MESSAGES, chunked, Bytes.ascii("1\r\nx\r\n0\r\n\r\n")), "length-required", 411);
        client.close();
        problem("expectation", client.post(body, Map.of("Expect", "100-continue")), "", 417);
        client.close();
        problem("path", client.ask("GET", "/exchange/v2/messages", Map.of(), new byte[0]), "", 404);
        problem("method", client.ask("PUT", Http.MESSAGES, Map.of("Content-Length", "0"), new byte[0]), "", 405);
        return Json.of("cases", BROKEN.size() + 6L);
    }

    private static void problem(String name, Http.Answer answer, String code, int status) {
        String text = answer.text();
        expect(answer.status() == status, name + ": " + answer.status() + " " + text);
        if (code.isEmpty()) {
            expect(text.isEmpty(), name + ": a body");
            return;
        }
        String expected = "{\"type\":\"urn:ecluse:problem:" + code + "\",\"title\":\"" + code + "\",\"status\":" + status + "}";
        expect(answer.type().equals("application/problem+json") && text.equals(expected), name + ": " + answer.type() + " " + text);
    }

    /** §20.2: no HTTP answer without the right handshake and certificate. */
    static Map<String, Object> tls(Partner partner) throws IOException, GeneralSecurityException {
        Map<String, Http> attempts = new LinkedHashMap<>();
        attempts.put("TLS 1.2", partner.connection("tls-client", new String[] {"TLSv1.2"}, new String[] {"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"}));
        attempts.put("another cipher suite", partner.connection("tls-client", Tls.VERSIONS, new String[] {"TLS_AES_128_GCM_SHA256"}));
        for (String use : List.of("", "message", "tls-server")) {
            attempts.put("a certificate for " + use, partner.connection(use, Tls.VERSIONS, Tls.CIPHERS));
        }
        for (var attempt : attempts.entrySet()) {
            try (Http connection = attempt.getValue()) {
                var answer = connection.ask("GET", "/", Map.of(), new byte[0]);
                expect(false, attempt.getKey() + ": an answer, " + answer.status());
            } catch (IOException refused) {
                // as it has to be: the connection ended before any answer
                continue;
            }
        }
        return Json.of("cases", (long) attempts.size());
    }
}
