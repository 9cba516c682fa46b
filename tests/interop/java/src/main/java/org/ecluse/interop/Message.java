package org.ecluse.interop;

import static org.ecluse.interop.Forms.NAME;
import static org.ecluse.interop.Forms.TEXT;
import static org.ecluse.interop.Forms.closed;
import static org.ecluse.interop.Forms.is;
import static org.ecluse.interop.Json.list;
import static org.ecluse.interop.Json.object;
import static org.ecluse.interop.Json.text;
import static org.ecluse.interop.Refusal.demand;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Predicate;

/** §10 Payload: the envelope, and of a disclosure its conditions, records and labels. */
final class Message {
    private static final String CODE = "schema-violation";
    private static final List<Object> PLAIN = List.of("void", "status", "ping", "checkpoint");
    private static final Map<String, Predicate<Object>> ENVELOPE = Forms.forms(is("format", Forms.among("ct-exchange-json/1.0")),
        is("type", Forms.among("void", "status", "ping", "checkpoint", "recall", "disclosure")), is("mode", Forms.among("operational", "exercise", "test")),
        is("message_id", Forms.UUID4), is("conversation", Forms.UUID4), is("from", Forms.ORG), is("to", Forms.ORG),
        is("created", Forms.INSTANT_FORM), is("language", Forms.LANGUAGE));
    private static final Map<String, Predicate<Object>> HANDLING = Forms.forms(is("regime", Forms.among("BE-OCAM", "BE-POLICE", "BE-INTEL", "SPOC")),
        is("route", Forms.among("police", "intelligence", "other")), is("purpose", NAME),
        is("legal_basis", Forms.text("\\P{Cntrl}+").and(Forms.characters(1, 200))), is("retention_until", Forms.DAY),
        is("onward", Forms.among("none", "originator-consent")));
    private static final Map<String, Predicate<Object>> MANIFEST = Forms.forms(is("records", Forms.listOf(Forms.OBJECT, 1, 256)),
        is("attachments", Forms.listOf(Forms.OBJECT, 0, 0)));
    private static final Map<String, Predicate<Object>> PART = Forms.forms(is("part", TEXT), is("kind", TEXT));
    private static final Map<String, Predicate<Object>> LABELED = Forms.forms(is("part", TEXT), is("label", Forms.OBJECT));
    private static final Map<String, Predicate<Object>> DISCLOSURE = extended(Forms.forms(is("label", Forms.OBJECT), is("handling", Forms.OBJECT),
        is("manifest", Forms.OBJECT), is("records", Forms.listOf(Forms.OBJECT, 1, 256)), is("labels", Forms.listOf(Forms.OBJECT, 1, 65536))));
    private static final Map<String, Predicate<Object>> RECALL = extended(Forms.forms(is("recalls", Forms.UUID4),
        is("action", Forms.among("withdrawn", "replaced", "expired")), is("replaced_by", Forms.UUID4)));

    private Message() {}

    private static Map<String, Predicate<Object>> extended(Map<String, Predicate<Object>> more) {
        Map<String, Predicate<Object>> forms = new java.util.LinkedHashMap<>(ENVELOPE);
        forms.putAll(more);
        return forms;
    }

    /** Step 12 of §11. */
    static Map<String, Object> read(byte[] bytes) {
        Object value = Json.exact(bytes);
        demand(value instanceof Map, CODE, "not an object");
        Object type = object(value).get("type");
        Map<String, Predicate<Object>> forms = "disclosure".equals(type) ? DISCLOSURE : "recall".equals(type) ? RECALL : ENVELOPE;
        Map<String, Object> payload = closed(value, forms, CODE, Set.of("replaced_by"));
        if (forms == DISCLOSURE) {
            readDisclosure(payload);
        } else if (forms == RECALL) {
            readRecall(payload);
        }
        demand(Forms.INSTANT.test(payload.get("created")), "an instant that does not exist");
        demand(Forms.sameOrder(payload, forms.keySet()), "members in another order");
        return payload;
    }

    private static void readRecall(Map<String, Object> payload) {
        Object by = payload.get("replaced_by");
        Object recalls = payload.get("recalls");
        Object id = payload.get("message_id");
        demand(!recalls.equals(id) && !recalls.equals(by) && !id.equals(by), CODE, "a recall of itself, or by one of the two");
        demand(payload.get("action").equals("replaced") == (by != null), CODE, "a recall replaced by nothing, or withdrawn for another");
    }

    private static void readDisclosure(Map<String, Object> payload) {
        Map<String, Object> manifest = closed(payload.get("manifest"), MANIFEST, CODE);
        Map<String, Object> handling = closed(payload.get("handling"), HANDLING, CODE);
        List<Object> records = list(payload.get("records"));
        List<Object> parts = list(manifest.get("records"));
        demand(parts.size() == records.size(), CODE, "records and manifest");
        for (int i = 0; i < parts.size(); i++) {
            Map<String, Object> part = closed(parts.get(i), PART, CODE);
            demand(part.get("part").equals("/records/" + i), CODE, "a part of the manifest");
            demand(part.get("kind").equals(Person.KIND), CODE, "an unknown kind");
            Person.read(object(records.get(i)));
            demand(Forms.sameOrder(part, PART.keySet()), "members in another order");
        }
        Label.read(payload.get("label"));
        Set<String> labeled = new HashSet<>();
        int last = -1;
        List<String> places = places(records);
        for (Object item : list(payload.get("labels"))) {
            Map<String, Object> entry = closed(item, LABELED, CODE);
            Label.read(entry.get("label"));
            int at = places.indexOf(text(entry, "part"));
            demand(at > last, CODE, "a label twice, out of order or of nothing");
            last = at;
            labeled.add(text(entry, "part"));
            demand(Forms.sameOrder(entry, LABELED.keySet()), "members in another order");
        }
        for (int i = 0; i < records.size(); i++) {
            demand(labeled.contains("/records/" + i), CODE, "a record without label");
        }
        demand(Forms.sameOrder(handling, HANDLING.keySet()) && Forms.sameOrder(manifest, MANIFEST.keySet()), "members in another order");
    }

    /** Where a label may stand, in document order: the record, its members but for `ref`, of a list member its items alone. */
    private static List<String> places(List<Object> records) {
        List<String> places = new ArrayList<>();
        for (int i = 0; i < records.size(); i++) {
            String record = "/records/" + i;
            places.add(record);
            object(records.get(i)).forEach((name, value) -> {
                if (value instanceof List<?> items) {
                    for (int j = 0; j < items.size(); j++) {
                        places.add(record + "/" + name + "/" + j);
                    }
                } else if (!name.equals("ref")) {
                    places.add(record + "/" + name);
                }
            });
        }
        return places;
    }

    static boolean isPlain(Map<String, Object> payload) {
        return PLAIN.contains(payload.get("type"));
    }

    /** The message's label first, then those of its parts; none but for a disclosure. */
    static List<Map<String, Object>> labels(Map<String, Object> payload) {
        List<Map<String, Object>> labels = new ArrayList<>();
        if (payload.get("type").equals("disclosure")) {
            labels.add(object(payload.get("label")));
            list(payload.get("labels")).forEach(item -> labels.add(object(object(item).get("label"))));
        }
        return labels;
    }
}
