package org.ecluse.interop;

import static org.ecluse.interop.Bytes.hex;
import static org.ecluse.interop.Bytes.sha256;
import static org.ecluse.interop.Json.number;
import static org.ecluse.interop.Json.text;
import static org.ecluse.interop.Refusal.demand;

import java.time.Instant;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;

/** §11 Receiving, in its order. What is kept is kept in memory: durability is not what is tried here. */
final class Receiver {
    private final Partner partner;
    private final Map<String, String> accepted = new HashMap<>(); // message id to digest
    private final Map<String, String> stored = new HashMap<>(); // message id to the receipt that says accepted
    private final Map<String, String> batches = new HashMap<>(); // ids and digests of a batch to its receipt
    private final Map<String, Long> next = new HashMap<>(); // conversation to number
    private final List<Object> received = new ArrayList<>();
    private final Deque<String> refusing = new ArrayDeque<>();
    private long posts;

    Receiver(Partner partner) {
        this.partner = partner;
    }

    /** A message that is open and readable (steps 3 to 7). */
    record Opened(Seal seal, Container.Parts parts, String digest, int bytes) {}

    static Opened open(byte[] item, String from, String us, Container.OwnKeys keys) {
        var taken = Container.takeApart(item); // 3
        demand(from.equals(taken.preamble().get("iss")), "replayed", "in the name of another"); // 4
        demand(us.equals(taken.preamble().get("aud")), "wrong-audience", "to somebody else");
        var parts = Container.decrypt(taken, keys); // 5, 6
        var seal = Seal.read(parts.first()); // 7
        seal.demandSame(taken.preamble());
        return new Opened(seal, parts, hex(sha256(parts.payload())), item.length);
    }

    /** The head in a seal, and what the message says. */
    record Verified(Head head, Map<String, Object> message) {}

    /** Steps 10 to 19 for one message. */
    static Verified verify(Opened opened, Map<String, Object> entry, String us, String mode, Agreement agreement, Instant now, long next) {
        var seal = opened.seal;
        byte[] payload = opened.parts.payload();
        seal.verify(opened.parts.second(), payload, entry, agreement.only("signature_profiles"), now); // 10, 11
        Map<String, Object> message = Message.read(payload); // 12
        demand(seal.get("agreement").equals(agreement.sha256()), "outside-agreement", "another agreement"); // 13
        boolean ours = us.equals(seal.get("aud")) && us.equals(message.get("to")) && mode.equals(seal.get("mode")) && mode.equals(message.get("mode"));
        demand(ours, "wrong-audience", "not for us"); // 14
        boolean same = seal.get("jti").equals(message.get("message_id")) && seal.get("conv").equals(message.get("conversation"))
            && seal.get("iss").equals(message.get("from")) && seal.get("typ").equals("ecluse-msg-" + message.get("type") + "+jws");
        demand(same && seal.get("cty").equals("application/json"), "schema-violation", "envelope and seal differ");
        List<Map<String, Object>> labels = Message.labels(message);
        labels.forEach(Label::rank); // 15
        labels.forEach(label -> demand(Label.releases(label, us), "mis-sent", "not released to us"));
        labels.forEach(label -> demand(Label.dominates(labels.get(0), label), "schema-violation", "a label lower than a part"));
        agreed(seal, message, labels, agreement, now); // 16
        Head head = Head.verify(seal.get("checkpoint"), entry, us, now); // 17
        long seq = number(seal.members(), "seq");
        if (seq != next) { // 18
            throw new Refusal("out-of-order", "not the next", next);
        }
        demand(head.size() >= seq, "signature-invalid", "a head that cannot cover its number"); // 19
        return new Verified(head, message);
    }

    private static void agreed(Seal seal, Map<String, Object> message, List<Map<String, Object>> labels, Agreement agreement, Instant now) {
        String code = "outside-agreement";
        String at = Forms.instant(now);
        demand(text(agreement.terms(), "not_before").compareTo(at) <= 0 && at.compareTo(text(agreement.terms(), "not_after")) < 0, code, "its period");
        demand(agreement.only("suites").equals(seal.get("suite")), code, "another suite");
        demand(Message.isPlain(message) || agreement.allows("formats", message.get("format")), code, "another format");
        if (labels.isEmpty()) {
            return;
        }
        demand(agreement.allows("purposes", Json.object(message.get("handling")).get("purpose")), code, "another purpose");
        Json.list(Json.object(message.get("manifest")).get("records"))
            .forEach(part -> demand(agreement.allows("kinds", Json.object(part).get("kind")), code, "another kind"));
        int ceiling = Label.rank(Json.object(agreement.terms().get("ceiling")));
        labels.forEach(label -> demand(Label.rank(label) <= ceiling, code, "above the ceiling"));
    }

    /** One POST of this organisation; gives the receipt, or throws the refusal of the whole. */
    synchronized String post(byte[] body, String from) {
        posts++;
        List<Opened> items = new ArrayList<>();
        Set<String> ids = new HashSet<>();
        for (byte[] item : Container.splitBatch(body)) {
            items.add(open(item, from, partner.org, partner.keys.encryption()));
        }
        items.forEach(item -> demand(ids.add(item.seal.get("jti")), "a message twice")); // 8
        String name = String.join(",", items.stream().map(item -> item.seal.get("jti") + " " + item.digest).toList());
        if (batches.containsKey(name)) { // 9, of the whole batch
            items.forEach(item -> note(item, "accepted", null));
            return batches.get(name);
        }
        Set<String> stopped = new HashSet<>();
        List<Object> outcomes = new ArrayList<>();
        items.forEach(item -> outcomes.add(outcome(item, stopped)));
        String id = UUID.randomUUID().toString();
        String at = Forms.instant(Instant.now());
        String receipt = Receipt.sign(Json.of("v", 1L, "id", id, "iss", partner.org, "aud", from, "at", at, "items", outcomes,
            "checkpoint", partner.log.head()), partner.org + "/receipt", partner.keys.ec.get("receipt").getPrivate());
        partner.log.append(Bytes.ascii(receipt), "at", at, "dir", "out", "event", "receipt", "conv", id, "id", id, "seq", (long) items.size(), "type", "receipt");
        boolean all = true;
        for (Object one : outcomes) {
            boolean taken = "accepted".equals(Json.object(one).get("outcome"));
            all &= taken;
            if (taken) {
                stored.putIfAbsent(text(Json.object(one), "id"), receipt);
            }
        }
        if (all) {
            batches.put(name, receipt);
        }
        return receipt;
    }

    private Map<String, Object> outcome(Opened item, Set<String> stopped) {
        String id = item.seal.get("jti");
        String conv = item.seal.get("conv");
        String known = accepted.get(id);
        if (item.digest.equals(known)) { // 9
            return note(item, "accepted", null);
        }
        if (stopped.contains(conv)) {
            return note(item, "not-processed", null);
        }
        try {
            demand(known == null, "digest-conflict", "a known id with other bytes");
            Instant now = Instant.now();
            Verified verified = verify(item, partner.gateway, partner.org, partner.mode, partner.agreement, now, next.getOrDefault(conv, 1L));
            demand(refusing.isEmpty(), refusing.isEmpty() ? "" : refusing.poll(), "as told");
            next.merge(conv, 2L, (before, ignored) -> before + 1);
            accepted.put(id, item.digest);
            partner.log.keep(verified.head);
            String typ = item.seal.get("typ");
            partner.log.append(item.parts.payload(), "at", Forms.instant(now), "dir", "in", "event", "message", "conv", conv, "id", id,
                "seq", number(item.seal.members(), "seq"), "type", typ.substring("ecluse-msg-".length(), typ.length() - "+jws".length()));
            return note(item, "accepted", null, verified.message);
        } catch (Refusal refusal) {
            stopped.add(conv);
            return note(item, "refused", refusal);
        }
    }

    private Map<String, Object> note(Opened item, String outcome, Refusal refusal) {
        return note(item, outcome, refusal, Map.of());
    }

    private Map<String, Object> note(Opened item, String outcome, Refusal refusal, Map<String, Object> message) {
        Map<String, Object> named = Json.of("id", item.seal.get("jti"), "payload_sha256", item.digest, "outcome", outcome);
        if (refusal != null) {
            named.put("code", refusal.code);
            if (refusal.expected > 0) {
                named.put("expected", refusal.expected);
            }
        }
        received.add(Json.with(named, "conv", item.seal.get("conv"), "seq", item.seal.members().get("seq"), "type", item.seal.get("typ"),
            "bytes", (long) item.bytes, "post", posts, "recalls", message.get("recalls"), "action", message.get("action")));
        return named;
    }

    synchronized String stored(String id) {
        return stored.get(id);
    }

    synchronized void refuseNext(List<Object> codes) {
        codes.forEach(code -> refusing.add((String) code));
    }

    /** What happened since this was last asked; no content. */
    synchronized List<Object> received() {
        List<Object> since = List.copyOf(received);
        received.clear();
        return since;
    }
}
