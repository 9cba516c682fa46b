package org.ecluse.interop;

import static org.ecluse.interop.Refusal.demand;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.ecluse.interop.Partner.Lane;
import org.ecluse.interop.Partner.Sealed;

/** What a partner sends, one step a method. Each throws when the gateway does not do what the document says. */
final class Sending {
    private Sending() {}

    static void expect(boolean holds, String what) {
        demand(holds, "unexpected", what);
    }

    /** A synthetic record about nobody, with the labels that go with it. */
    static Map<String, Object> disclosure(Partner partner, Object... changes) {
        Map<String, Object> label = Json.of("policy", "BEL", "level", "UNCLASSIFIED", "releasable_to", List.of("BEL", "FRA"),
            "originators", List.of(partner.org));
        label.putAll(Json.of(changes));
        Map<String, Object> record = Json.of("ref", "p-" + Bytes.hex(Bytes.random(16)), "category", Json.of("code", "FTF", "criterion", "a"),
            "names", List.of(Json.of("family", "Zzemo", "given", "Exemple", "quality", "low", "script", "Latn", "type", "birth")));
        return Json.of("label", label,
            "handling", Json.of("regime", "SPOC", "route", "police", "purpose", "ct-prevention", "legal_basis", "synthetic",
                "retention_until", "2099-12-31", "onward", "none"),
            "manifest", Json.of("records", List.of(Json.of("part", "/records/0", "kind", Person.KIND)), "attachments", List.of()),
            "records", List.of(record), "labels", List.of(Json.of("part", "/records/0", "label", label)));
    }

    private static Sealed disclose(Partner partner, Lane lane) {
        return partner.make("disclosure", lane, disclosure(partner), Map.of(), UUID.randomUUID().toString());
    }

    /** A question about nothing: the TLS identity counts, and so does the entry behind it. */
    static Map<String, Object> knock(Partner partner) throws IOException {
        var nobody = partner.client.receipt(UUID.randomUUID().toString());
        expect(nobody.status() == 404 && nobody.body().length == 0, "a receipt of nothing");
        return Json.of();
    }

    /** A disclosure alone: accepted, and its receipt again from GET. */
    static Map<String, Object> single(Partner partner) throws IOException {
        var message = disclose(partner, Lane.fresh());
        var sent = partner.send(message);
        expect(sent.outcomes().equals("accepted"), sent.outcomes());
        var stored = partner.client.receipt(message.id());
        expect(stored.status() == 200 && stored.text().equals(sent.receipt()), "the stored receipt is another");
        return Json.of("ids", List.of(message.id()), "receipt", sent.statement().get("id"), "bytes", (long) sent.items().get(0).length);
    }

    /** The same POST, then the same seal sealed anew, give the first receipt byte for byte. */
    static Map<String, Object> duplicate(Partner partner) throws IOException {
        var message = partner.make("ping", Lane.fresh());
        var sent = partner.send(message);
        var again = partner.send(List.of(message), sent.items());
        var anew = partner.send(message);
        expect(sent.outcomes().equals("accepted"), sent.outcomes());
        expect(again.receipt().equals(sent.receipt()) && anew.receipt().equals(sent.receipt()), "another receipt for the same message");
        expect(!Arrays.equals(anew.items().get(0), sent.items().get(0)), "the ciphertext was not made anew");
        return Json.of("ids", List.of(message.id()), "receipt", sent.statement().get("id"));
    }

    /** So many messages of ten conversations in one POST. */
    static Map<String, Object> batch(Partner partner, long count) throws IOException {
        List<Lane> lanes = new ArrayList<>();
        List<Sealed> messages = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            if (i < 10) {
                lanes.add(Lane.fresh());
            }
            Lane lane = lanes.get(i % 10).at(1 + i / 10);
            messages.add(i % 2 == 0 ? disclose(partner, lane) : partner.make("status", lane));
        }
        var sent = partner.send(messages.toArray(Sealed[]::new));
        List<Object> ids = new ArrayList<>(messages.stream().map(Sealed::id).toList());
        var items = Receipt.items(sent.statement());
        expect(items.stream().allMatch(item -> item.get("outcome").equals("accepted")), sent.outcomes());
        expect(items.stream().map(item -> item.get("id")).toList().equals(ids), "items in another order");
        return Json.of("ids", ids, "receipt", sent.statement().get("id"));
    }

    /** §20.5 and §20.6: 1, 3 and another conversation in one POST; rewind; a void for a withdrawn number. */
    static Map<String, Object> order(Partner partner) throws IOException {
        Lane lane = Lane.fresh();
        var one = partner.make("ping", lane);
        var three = partner.make("ping", lane.at(3));
        var four = partner.make("ping", lane.at(4));
        var other = partner.make("ping", Lane.fresh());
        var gap = partner.send(one, three, four, other);
        expect(gap.outcomes().equals("accepted,out-of-order,not-processed,accepted"), gap.outcomes());
        expect(Receipt.items(gap.statement()).get(1).get("expected").equals(2L), "another number is expected");
        var two = partner.make("void", lane.at(2));
        var rest = partner.send(two, three, four);
        expect(rest.outcomes().equals("accepted,accepted,accepted"), rest.outcomes());
        return Json.of("ids", List.of(one.id(), two.id(), three.id(), four.id(), other.id()));
    }

    /** A recall of a message that was accepted, and one that arrives before the message that it is about. */
    static Map<String, Object> recall(Partner partner) throws IOException {
        var known = partner.make("ping", Lane.fresh());
        var later = partner.make("ping", Lane.fresh());
        var first = partner.send(known);
        var withdrawn = say(partner, Json.of("recalls", known.id(), "action", "withdrawn"));
        var replaced = say(partner, Json.of("recalls", later.id(), "action", "replaced", "replaced_by", known.id()));
        var said = partner.send(withdrawn, replaced);
        var last = partner.send(later);
        String outcomes = String.join(",", first.outcomes(), said.outcomes(), last.outcomes());
        expect(outcomes.equals("accepted,accepted,accepted,accepted"), outcomes);
        return Json.of("ids", List.of(known.id(), withdrawn.id(), replaced.id(), later.id()),
            "recalled", Json.of(known.id(), "withdrawn", later.id(), "replaced"));
    }

    private static Sealed say(Partner partner, Map<String, Object> recall) {
        return partner.make("recall", Lane.fresh(), recall, Map.of(), UUID.randomUUID().toString());
    }
}
