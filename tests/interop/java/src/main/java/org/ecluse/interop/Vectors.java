package org.ecluse.interop;

import static org.ecluse.interop.Bytes.unb64u;
import static org.ecluse.interop.Json.list;
import static org.ecluse.interop.Json.object;
import static org.ecluse.interop.Json.text;
import static org.ecluse.interop.Refusal.demand;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** §20.1: every case of tests/vectors/protocol, judged by this partner's own receiver. */
final class Vectors {
    /** Of these files it is acceptance that counts: a peer answers no code. */
    private static final Set<String> UNCODED = Set.of("agreements", "receipts");

    private final Path folder;
    private final Instant now;
    private final Map<String, Object> sender;
    private final Map<String, Object> recipient;
    private final String us;
    private final Map<String, Map<String, Object>> entries;
    private final Map<String, Agreement> agreements = new HashMap<>();
    private final Container.OwnKeys keys;

    private Vectors(Path folder) throws IOException, GeneralSecurityException {
        this.folder = folder;
        Map<String, Object> world = object(load("world"));
        now = Instant.parse(text(world, "now"));
        sender = object(world.get("sender"));
        recipient = object(world.get("recipient"));
        us = text(recipient, "org");
        entries = Map.of(text(sender, "org"), sender, us, recipient);
        object(world.get("agreements")).forEach((name, one) -> agreements.put(name, Agreement.read(object(one), entries, now)));
        Map<String, Object> seeds = object(world.get("private_seeds"));
        BigInteger scalar = new BigInteger(text(seeds, us + "/jwe"), 16).mod(Jws.N.subtract(BigInteger.ONE)).add(BigInteger.ONE);
        byte[] seed = java.util.HexFormat.of().parseHex(text(seeds, us + "/hpke"));
        keys = new Container.OwnKeys(Hpke.Key.of(seed), us + "/hpke", Keys.ecPrivate(scalar), us + "/jwe");
    }

    static Map<String, Object> run(Path folder) throws IOException, GeneralSecurityException {
        var vectors = new Vectors(folder);
        Map<String, Object> agree = Json.of();
        List<Object> differ = new ArrayList<>();
        for (String file : List.of("batches", "plaintexts", "preambles", "checkpoints", "payloads", "agreements", "receipts", "seals", "sealed")) {
            long count = 0;
            for (Object one : list(object(vectors.load(file)).get("cases"))) {
                String expect = text(object(one), "expect");
                String is = "accept";
                try {
                    vectors.judge(file, object(one));
                } catch (Refusal refusal) {
                    is = refusal.code;
                }
                if (is.equals(expect) || UNCODED.contains(file) && !is.equals("accept") && !expect.equals("accept")) {
                    count++;
                } else {
                    differ.add(Json.of("file", file, "case", object(one).get("name"), "expect", expect, "is", is));
                }
            }
            agree.put(file, count);
        }
        return Json.of("agree", agree, "differ", differ);
    }

    private void judge(String file, Map<String, Object> one) {
        switch (file) {
            case "batches" -> Container.splitBatch(pieces(one.get("body")));
            case "plaintexts" -> Container.unpack(pieces(one.get("plaintext")));
            case "preambles" -> Container.readPreamble(unb64u(text(one, "line")));
            case "checkpoints" -> Head.verify(text(one, "note"), sender, us, now);
            case "payloads" -> Message.read(one.containsKey("text") ? text(one, "text").getBytes(StandardCharsets.UTF_8) : unb64u(text(one, "bytes")));
            case "agreements" -> {
                var read = Agreement.read(object(one.get("agreement")), entries, now);
                demand(read.signed().equals(new HashSet<>(list(one.get("signed")))), "who has signed");
            }
            case "receipts" -> {
                Map<String, String> sent = new HashMap<>();
                list(one.get("sent")).forEach(pair -> sent.put((String) list(pair).get(0), (String) list(pair).get(1)));
                Receipt.verify(text(one, "jws"), recipient, text(sender, "org"), sent, now, note -> Head.verify(note, recipient, text(sender, "org"), now));
            }
            case "seals" -> Seal.read(text(one, "jws")).verify(text(one, "second"), text(one, "payload").getBytes(StandardCharsets.UTF_8), sender,
                agreements.get(text(one, "agreement")).only("signature_profiles"), now);
            default -> judgeSealed(one);
        }
    }

    private void judgeSealed(Map<String, Object> one) {
        var opened = Receiver.open(unb64u(text(one, "sealed")), text(one, "from"), us, keys);
        Object known = one.get("known") instanceof Map ? object(one.get("known")).get(opened.seal().get("jti")) : null;
        if (!opened.digest().equals(known)) {
            demand(known == null, "digest-conflict", "a known id with other bytes");
            long next = Json.number(one, "next_seq");
            Receiver.verify(opened, sender, us, "operational", agreements.get(text(one, "agreement")), now, next);
        }
    }

    private static byte[] pieces(Object value) {
        var out = new ByteArrayOutputStream();
        for (Object piece : list(value)) {
            out.writeBytes(piece instanceof Long zeros ? new byte[zeros.intValue()] : unb64u((String) piece));
        }
        return out.toByteArray();
    }

    /** The files are for people, with white space: read leniently. */
    private Object load(String name) throws IOException {
        return Json.lenient(Files.readString(folder.resolve(name + ".json")));
    }
}
