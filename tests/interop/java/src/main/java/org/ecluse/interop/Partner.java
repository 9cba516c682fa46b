package org.ecluse.interop;

import static org.ecluse.interop.Bytes.hex;
import static org.ecluse.interop.Bytes.sha256;
import static org.ecluse.interop.Json.text;
import static org.ecluse.interop.Refusal.demand;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.cert.X509Certificate;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.bouncycastle.operator.OperatorCreationException;

/** One organisation of this kind: its keys, its log, and what it can send. §13's order of work is `make`. */
final class Partner {
    private static final long LIFE = 86400; // seconds from sealing to `exp`
    private static final List<String> CERTIFIED = List.of("tls-server", "tls-client", "message", "message-pq", "receipt");

    final String org;
    final String mode;
    final Keys keys;
    final Log log;
    Map<String, Object> gateway;
    Agreement agreement;
    Receiver receiver;
    Listener listener;
    Http client;
    private final String name;
    private final String them;
    private final Path folder;
    private final Map<String, X509Certificate> certificates = new HashMap<>();
    private Map<String, Object> entry;
    private int port;
    private Tls trust;

    Partner(Map<String, Object> params) throws GeneralSecurityException {
        org = text(params, "org");
        name = text(params, "name");
        them = text(params, "gateway");
        mode = text(params, "mode");
        folder = Path.of(text(params, "folder"));
        keys = new Keys(org);
        log = new Log(org, them, keys.log);
    }

    /** A message with its seal: repeated, it is this; only the ciphertext is made anew. */
    record Sealed(String id, Map<String, Object> seal, byte[] payload, String first, String second, Map<String, Object> recipient) {
        String digest() {
            return hex(sha256(payload));
        }

        Sealed withFirst(String other) {
            return new Sealed(id, seal, payload, other, second, recipient);
        }
    }

    /** A POST that was answered with a valid receipt. */
    record Sent(String receipt, Map<String, Object> statement, List<byte[]> items) {
        String outcomes() {
            return String.join(",", Receipt.items(statement).stream().map(item -> text(item, item.containsKey("code") ? "code" : "outcome")).toList());
        }
    }

    // --- becoming a partner ---

    List<Object> requests() throws IOException, OperatorCreationException {
        Map<String, String> requests = keys.requests();
        for (var request : requests.entrySet()) {
            Files.writeString(folder.resolve(request.getKey() + ".csr"), request.getValue());
        }
        return List.copyOf(requests.keySet());
    }

    String describe(int listenerPort) throws IOException, GeneralSecurityException {
        for (String use : CERTIFIED) {
            certificates.put(use, Tls.certificate(Files.readAllBytes(folder.resolve(use + ".pem"))));
        }
        port = listenerPort;
        entry = keys.entry(name, "https://127.0.0.1:" + port, certificates);
        byte[] raw = Json.canonical(entry);
        Files.write(folder.resolve("entry.json"), raw);
        return hex(sha256(raw));
    }

    void agree(Object terms) throws IOException {
        Files.write(folder.resolve("agreement.json"), Json.ordered(Agreement.offer(terms, org, keys.ec.get("agreement").getPrivate())));
    }

    /** The gateway's entry, its authority and the agreement that both have signed: from here on messages can cross. */
    void begin() throws IOException, GeneralSecurityException {
        gateway = Json.object(Json.lenient(Files.readString(folder.resolve("gateway.json"))));
        Map<String, Object> signed = Json.object(Json.lenient(Files.readString(folder.resolve("agreement.json"))));
        agreement = Agreement.read(signed, Map.of(org, entry, them, gateway), Instant.now());
        demand(agreement.signed().size() == 2, "outside-agreement", "not signed by both");
        var authority = Tls.certificate(Files.readAllBytes(folder.resolve("gateway-ca.pem")));
        trust = new Tls(gateway, authority, Tls.crl(Files.readAllBytes(folder.resolve("gateway-crl.pem"))));
        client = connection("tls-client", Tls.VERSIONS, Tls.CIPHERS);
        receiver = new Receiver(this);
        listener = new Listener(port, trust.context(keys.ec.get("tls-server"), certificates.get("tls-server")), gateway, receiver);
    }

    /** A connection of its own; `use` names the certificate that we show, or is empty. */
    Http connection(String use, String[] versions, String[] ciphers) throws IOException, GeneralSecurityException {
        var context = trust.context(keys.ec.get(use), certificates.get(use));
        return new Http(text(gateway, "endpoint"), text(gateway, "tls_name"), context, versions, ciphers);
    }

    String suite() {
        return agreement.only("suites");
    }

    String profile() {
        return agreement.only("signature_profiles");
    }

    // --- sending ---

    /** A conversation and the number in it. */
    record Lane(String conv, long seq) {
        static Lane fresh() {
            return new Lane(UUID.randomUUID().toString(), 1);
        }

        Lane at(long number) {
            return new Lane(conv, number);
        }
    }

    Sealed make(String type, Lane lane) {
        return make(type, lane, Map.of(), Map.of(), UUID.randomUUID().toString());
    }

    /** `content` adds to the envelope, `changes` spoils members of the seal. */
    Sealed make(String type, Lane lane, Map<String, Object> content, Map<String, Object> changes, String id) {
        Instant now = Instant.now();
        String at = Forms.instant(now);
        Map<String, Object> envelope = Json.of("format", "ct-exchange-json/1.0", "type", type, "mode", mode, "message_id", id,
            "conversation", lane.conv, "from", org, "to", them, "created", at, "language", "fr");
        envelope.putAll(content);
        byte[] payload = Json.ordered(envelope);
        log.append(payload, "at", at, "dir", "out", "event", "message", "conv", lane.conv, "id", id, "seq", lane.seq, "type", type);
        String suite = (String) changes.getOrDefault("suite", suite());
        var recipient = Keys.valid(gateway, "encryption", suite, now).findFirst().orElseThrow();
        var own = Keys.valid(entry, "message", "ES256", now).findFirst().orElseThrow();
        var lattice = Keys.valid(entry, "message", Keys.LATTICE, now).findFirst().orElseThrow();
        long iat = now.getEpochSecond();
        Map<String, Object> seal = new LinkedHashMap<>(Json.of("alg", "ES256", "kid", own.get("kid"), "typ", "ecluse-msg-" + type + "+jws",
            "cty", "application/json", "crit", List.of("b64"), "b64", false, "x5t#S256", own.get("x5t"), "iat", iat, "exp", iat + LIFE,
            "iss", org, "aud", them, "enc_kid", recipient.get("kid"), "suite", suite, "sig_profile", profile(), "jti", id, "conv", lane.conv,
            "seq", lane.seq, "mode", mode, "agreement", agreement.sha256(), "payload_sha256", hex(sha256(payload)), "checkpoint", log.head()));
        seal.putAll(changes);
        String first = Jws.sign(Seal.inOrder(seal), payload, keys.ec.get("message").getPrivate(), true);
        String second = seal.get("sig_profile").equals("hybrid") ? Seal.second(seal, payload, keys, lattice) : "";
        return new Sealed(id, seal, payload, first, second, recipient);
    }

    /** Encrypt anew: the same seal, another ciphertext, each time. */
    static byte[] wrap(Sealed message) {
        byte[] plaintext = Container.pack(new Container.Parts(message.first, message.second, message.payload));
        return Container.encrypt(message.seal, plaintext, message.recipient);
    }

    Sent send(Sealed... messages) throws IOException {
        return send(List.of(messages), List.of(messages).stream().map(Partner::wrap).toList());
    }

    /** POST and verify. */
    Sent send(List<Sealed> messages, List<byte[]> items) throws IOException {
        var answer = client.post(Container.joinBatch(items), Map.of());
        boolean receipted = answer.status() == 200 && answer.type().equals(Http.RECEIPT);
        demand(receipted, "unexpected", "the answer is " + answer.status() + " " + answer.text());
        Instant now = Instant.now();
        Map<String, String> sent = new HashMap<>();
        messages.forEach(message -> sent.put(message.id, message.digest()));
        var statement = Receipt.verify(answer.text(), gateway, org, sent, now, note -> log.keep(Head.verify(note, gateway, org, now)));
        log.append(answer.body(), "at", statement.get("at"), "dir", "in", "event", "receipt", "conv", statement.get("id"), "id", statement.get("id"),
            "seq", (long) Receipt.items(statement).size(), "type", "receipt");
        return new Sent(answer.text(), statement, new ArrayList<>(items));
    }

    void close() throws IOException {
        if (listener != null) {
            listener.close();
            client.close();
        }
    }
}
