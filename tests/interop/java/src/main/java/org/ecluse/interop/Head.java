package org.ecluse.interop;

import static org.ecluse.interop.Bytes.ascii;
import static org.ecluse.interop.Bytes.concat;
import static org.ecluse.interop.Bytes.sha256;
import static org.ecluse.interop.Json.text;
import static org.ecluse.interop.Refusal.demand;

import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.Signature;
import java.time.Instant;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;

/** §14: a signed head of somebody's log, verified. */
record Head(String origin, long size, String root) {
    private static final Pattern NOTE = Pattern.compile("([^\n]+)\n(0|[1-9][0-9]{0,15})\n([^\n]+)\n\n((?:[^\n]+\n)+)");
    private static final Pattern SIGNATURE = Pattern.compile("\u2014 (\\S+) (\\S+)");
    private static final String CODE = "signature-invalid";

    /** The head of `entry`'s log about `us`; or signature-invalid. */
    static Head verify(String note, Map<String, Object> entry, String us, Instant now) {
        var match = NOTE.matcher(note);
        demand(match.matches(), CODE, "no signed head");
        String origin = match.group(1);
        String owner = text(entry, "org");
        demand(origin.equals("ecluse/" + owner + "/partner/" + us), CODE, "the head of another log");
        demand(Bytes.unb64(match.group(3), CODE).length == 32, CODE, "the size of the root");
        byte[] signed = String.join("\n", origin, match.group(2), match.group(3), "").getBytes(StandardCharsets.UTF_8);
        List<byte[]> keys = Keys.valid(entry, "log", "Ed25519", now).map(Keys::publicOf).toList();
        String[] lines = match.group(4).split("\n");
        demand(lines.length <= 32, CODE, "too many signatures");
        int held = 0;
        for (String line : lines) {
            var signature = SIGNATURE.matcher(line);
            demand(signature.matches(), CODE, "no signature line");
            byte[] raw = Bytes.unb64(signature.group(2), CODE);
            for (byte[] key : keys) {
                if (signature.group(1).equals("ecluse/" + owner) && raw.length >= 4 && Arrays.equals(Arrays.copyOf(raw, 4), keyId(owner, key))) {
                    demand(holds(key, signed, Arrays.copyOfRange(raw, 4, raw.length)), CODE, "the signature of a head");
                    held++;
                }
            }
        }
        demand(held > 0, CODE, "no signature of the owner");
        return new Head(origin, Long.parseLong(match.group(2)), match.group(3));
    }

    static byte[] keyId(String owner, byte[] key) {
        return Arrays.copyOf(sha256(concat(ascii("ecluse/" + owner + "\n"), new byte[] {1}, key)), 4);
    }

    private static boolean holds(byte[] key, byte[] signed, byte[] signature) {
        try {
            var verifier = Signature.getInstance("Ed25519");
            verifier.initVerify(Keys.edPublic(key));
            verifier.update(signed);
            return verifier.verify(signature);
        } catch (GeneralSecurityException error) {
            return false;
        }
    }
}
