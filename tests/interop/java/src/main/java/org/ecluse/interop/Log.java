package org.ecluse.interop;

import static org.ecluse.interop.Bytes.ascii;
import static org.ecluse.interop.Bytes.concat;
import static org.ecluse.interop.Bytes.hex;
import static org.ecluse.interop.Bytes.random;
import static org.ecluse.interop.Bytes.sha256;

import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.security.Signature;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** §14: our log about one partner, in memory, and the heads that we have seen of theirs. */
final class Log {
    private final String us;
    private final String them;
    private final KeyPair key;
    private final List<byte[]> leaves = new ArrayList<>();
    private final Map<Long, Head> seen = new HashMap<>();
    private int alarms;

    Log(String us, String them, KeyPair key) {
        this.us = us;
        this.them = them;
        this.key = key;
    }

    /** `values`: at, dir, event, conv, id, seq, type. Body and master are salted commitments; there is no master log here. */
    synchronized void append(byte[] content, Object... values) {
        Map<String, Object> entry = Json.of(values);
        entry.put("blind", Bytes.b64u(random(32)));
        entry.put("body", hex(sha256(ascii("ecluse/body/1\n"), random(32), sha256(content))));
        entry.put("master", hex(sha256(ascii("ecluse/master/1\n"), random(32))));
        entry.put("v", 1L);
        leaves.add(sha256(new byte[] {0}, Json.canonical(entry)));
    }

    /** The signed head, as it stands in a seal or receipt; empty before the first entry. */
    synchronized String head() {
        if (leaves.isEmpty()) {
            return "";
        }
        String body = "ecluse/" + us + "/partner/" + them + "\n" + leaves.size() + "\n" + Bytes.b64(root(0, leaves.size())) + "\n";
        try {
            var signer = Signature.getInstance("Ed25519");
            signer.initSign(key.getPrivate());
            signer.update(body.getBytes(StandardCharsets.UTF_8));
            byte[] line = concat(Head.keyId(us, Keys.edRaw(key.getPublic())), signer.sign());
            return body + "\n\u2014 ecluse/" + us + " " + Bytes.b64(line) + "\n";
        } catch (GeneralSecurityException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    private byte[] root(int from, int to) {
        if (to - from == 1) {
            return leaves.get(from);
        }
        int split = from + Integer.highestOneBit(to - from - 1);
        return sha256(new byte[] {1}, root(from, split), root(split, to));
    }

    /** Two roots of one size are an alarm, and the first is not forgotten. */
    synchronized void keep(Head head) {
        Head other = seen.putIfAbsent(head.size(), head);
        if (other != null && !other.root().equals(head.root())) {
            alarms++;
        }
    }

    synchronized int alarms() {
        return alarms;
    }
}
