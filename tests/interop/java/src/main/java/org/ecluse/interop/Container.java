package org.ecluse.interop;

import static org.ecluse.interop.Bytes.ascii;
import static org.ecluse.interop.Bytes.b64u;
import static org.ecluse.interop.Bytes.concat;
import static org.ecluse.interop.Bytes.prefixed;
import static org.ecluse.interop.Bytes.sha256;
import static org.ecluse.interop.Bytes.unb64u;
import static org.ecluse.interop.Forms.is;
import static org.ecluse.interop.Json.text;
import static org.ecluse.interop.Refusal.demand;

import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.JWEObject;
import com.nimbusds.jose.crypto.ECDHDecrypter;
import com.nimbusds.jose.crypto.impl.ConcatKDF;
import com.nimbusds.jose.jwk.Curve;
import com.nimbusds.jose.jwk.ECKey;
import java.nio.ByteBuffer;
import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.security.interfaces.ECPrivateKey;
import java.security.interfaces.ECPublicKey;
import java.text.ParseException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;
import javax.crypto.Cipher;
import javax.crypto.KeyAgreement;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.SecretKeySpec;

/** §7 Batch and §8 Sealed message: framing, buckets and both suites. */
final class Container {
    static final String HPKE = "hpke-mlkem768-x25519-a256gcm";
    static final String JWE = "jwe-ecdh-es-a256gcm";
    static final List<String> NAMED = List.of("aud", "enc_kid", "iss", "jti", "suite");
    private static final int[] BUCKETS = {4096, 16384, 65536, 262144, 1048576, 4194304};
    private static final int MOST_MESSAGES = 64;
    private static final int MOST_SEALED = 5594454;
    private static final int MOST_PREAMBLE = 1024;
    private static final int JWE_HEADER = 512;
    private static final Map<String, Predicate<Object>> PREAMBLE = Forms.forms(is("aud", Forms.ORG), is("enc_kid", Forms.KID),
        is("iss", Forms.ORG), is("jti", Forms.UUID4), is("suite", Forms.among(HPKE, JWE)), is("v", Forms.among(1L)));

    private Container() {}

    /** The plaintext of a message, taken apart. */
    record Parts(String first, String second, byte[] payload) {}

    /** A sealed message, taken apart; nothing of it is authenticated. */
    record Item(byte[] line, Map<String, Object> preamble, byte[] ciphertext) {}

    /** Our private keys, and the key ids under which they stand in our entry. */
    record OwnKeys(Hpke.Key hpke, String hpkeKid, ECPrivateKey jwe, String jweKid) {}

    // --- §7 ---

    static byte[] joinBatch(List<byte[]> items) {
        return concat(items.stream().map(Bytes::prefixed).toArray(byte[][]::new));
    }

    static List<byte[]> splitBatch(byte[] body) {
        List<byte[]> items = new ArrayList<>();
        for (int at = 0; at < body.length;) {
            demand(at + 4 <= body.length, "a length is cut off");
            long size = ByteBuffer.wrap(body).getInt(at) & 0xffffffffL;
            demand(size >= 1 && size <= MOST_SEALED && at + 4 + size <= body.length, "the length of an item");
            items.add(Arrays.copyOfRange(body, at + 4, at + 4 + (int) size));
            at += 4 + (int) size;
        }
        demand(!items.isEmpty() && items.size() <= MOST_MESSAGES, "the number of items");
        return items;
    }

    // --- §8.1, §8.2 ---

    static Map<String, Object> readPreamble(byte[] line) {
        demand(line.length <= MOST_PREAMBLE, "a preamble too long");
        return Forms.closed(Json.canonicalExact(line), PREAMBLE, "malformed");
    }

    static byte[] pack(Parts parts) {
        byte[] filled = concat(prefixed(ascii(parts.first)), prefixed(ascii(parts.second)), prefixed(parts.payload));
        int bucket = bucketOf(filled.length + 4);
        demand(bucket > 0, "too-large", "larger than every bucket");
        return concat(filled, prefixed(new byte[bucket - filled.length - 4]));
    }

    static Parts unpack(byte[] plaintext) {
        demand(isBucket(plaintext.length), "no bucket");
        List<byte[]> parts = new ArrayList<>();
        int at = 0;
        while (parts.size() < 4) {
            demand(at + 4 <= plaintext.length, "a part is missing");
            long size = ByteBuffer.wrap(plaintext).getInt(at) & 0xffffffffL;
            demand(at + 4 + size <= plaintext.length, "a part is cut off");
            parts.add(Arrays.copyOfRange(plaintext, at + 4, at + 4 + (int) size));
            at += 4 + (int) size;
        }
        demand(at == plaintext.length, "bytes after the padding");
        byte[] padding = parts.get(3);
        demand(Arrays.equals(padding, new byte[padding.length]), "padding that is not zero");
        demand(bucketOf(plaintext.length - padding.length) == plaintext.length, "a larger bucket than needed");
        for (byte[] token : parts.subList(0, 2)) {
            for (byte one : token) {
                demand(one >= 0, "a seal that is not ASCII");
            }
        }
        return new Parts(Bytes.text(parts.get(0)), Bytes.text(parts.get(1)), parts.get(2));
    }

    private static int bucketOf(int used) {
        return Arrays.stream(BUCKETS).filter(size -> size >= used).findFirst().orElse(0);
    }

    private static boolean isBucket(int length) {
        return Arrays.stream(BUCKETS).anyMatch(size -> size == length);
    }

    // --- §8 ---

    /** Anew for each attempt. `seal` gives the values of the preamble, `record` is the recipient's key. */
    static byte[] encrypt(Map<String, Object> seal, byte[] plaintext, Map<String, Object> record) {
        Map<String, Object> preamble = Json.of("v", 1L);
        NAMED.forEach(name -> preamble.put(name, seal.get(name)));
        byte[] line = Json.canonical(preamble);
        byte[] key = unb64u(text(record, "public"));
        byte[] sealed = HPKE.equals(seal.get("suite")) ? Hpke.seal(info(line), plaintext, key) : jweSeal(line, text(preamble, "iss"), plaintext, key);
        return concat(line, ascii("\n"), sealed);
    }

    /** Step 3 of §11 for one item. */
    static Item takeApart(byte[] sealed) {
        int end = 0;
        while (end < sealed.length && sealed[end] != '\n') {
            end++;
        }
        demand(end + 1 < sealed.length, "no line feed, or nothing after it");
        byte[] line = Arrays.copyOf(sealed, end);
        return new Item(line, readPreamble(line), Arrays.copyOfRange(sealed, end + 1, sealed.length));
    }

    /** Steps 5 and 6 of §11. */
    static Parts decrypt(Item item, OwnKeys keys) {
        boolean hpke = HPKE.equals(item.preamble.get("suite"));
        demand((hpke ? keys.hpkeKid : keys.jweKid).equals(item.preamble.get("enc_kid")), "not to a key of ours");
        if (hpke) {
            demand(isBucket(item.ciphertext.length - Hpke.OVERHEAD), "the length of the ciphertext");
            return unpack(Hpke.open(info(item.line), item.ciphertext, keys.hpke));
        }
        return unpack(jweOpen(item.line, text(item.preamble, "iss"), Bytes.text(item.ciphertext), keys.jwe));
    }

    private static byte[] info(byte[] line) {
        return concat(ascii("ecluse/hpke/1\n"), sha256(line));
    }

    // --- §8.4: the library opens what others made; it does not write a header in a given order ---

    private static Map<String, Object> jweHeader(byte[] line, String iss, String x, String y) {
        return Json.of("alg", "ECDH-ES", "enc", "A256GCM", "apu", b64u(ascii(iss)), "apv", b64u(sha256(line)),
            "epk", Json.of("kty", "EC", "crv", "P-256", "x", x, "y", y));
    }

    private static byte[] jweSeal(byte[] line, String iss, byte[] plaintext, byte[] spki) {
        try {
            KeyPair ephemeral = Keys.ecPair();
            var epk = new ECKey.Builder(Curve.P_256, (ECPublicKey) ephemeral.getPublic()).build();
            String head = b64u(Json.ordered(jweHeader(line, iss, epk.getX().toString(), epk.getY().toString())));
            var agreement = KeyAgreement.getInstance("ECDH");
            agreement.init(ephemeral.getPrivate());
            agreement.doPhase(Keys.ecPublic(spki), true);
            var key = new ConcatKDF("SHA-256").deriveKey(new SecretKeySpec(agreement.generateSecret(), "AES"), 256,
                ConcatKDF.encodeDataWithLength(ascii("A256GCM")), ConcatKDF.encodeDataWithLength(ascii(iss)),
                ConcatKDF.encodeDataWithLength(sha256(line)), ConcatKDF.encodeIntData(256), ConcatKDF.encodeNoData());
            byte[] iv = Bytes.random(12);
            var cipher = Cipher.getInstance("AES/GCM/NoPadding");
            cipher.init(Cipher.ENCRYPT_MODE, key, new GCMParameterSpec(128, iv));
            cipher.updateAAD(ascii(head));
            byte[] sealed = cipher.doFinal(plaintext);
            int tag = sealed.length - 16;
            byte[] body = Arrays.copyOf(sealed, tag);
            return ascii(String.join(".", head, "", b64u(iv), b64u(body), b64u(Arrays.copyOfRange(sealed, tag, sealed.length))));
        } catch (GeneralSecurityException | JOSEException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    private static byte[] jweOpen(byte[] line, String iss, String token, ECPrivateKey key) {
        String[] segments = token.split("\\.", -1);
        demand(segments.length == 5 && segments[1].isEmpty(), "no compact JWE with an empty key");
        byte[] head = unb64u(segments[0]);
        demand(head.length <= JWE_HEADER && unb64u(segments[2]).length == 12 && unb64u(segments[4]).length == 16, "the size of a segment");
        demand(isBucket(unb64u(segments[3]).length), "the length of the ciphertext");
        Map<String, Object> header = Json.object(Json.exact(head));
        demand(header.get("epk") instanceof Map, "no ephemeral key");
        Map<String, Object> epk = Json.object(header.get("epk"));
        demand(epk.get("x") instanceof String && epk.get("y") instanceof String, "no coordinates");
        byte[] expected = Json.ordered(jweHeader(line, iss, text(epk, "x"), text(epk, "y")));
        demand(Arrays.equals(expected, head), "another header");
        demand(unb64u(text(epk, "x")).length == 32 && unb64u(text(epk, "y")).length == 32, "the size of a coordinate");
        try {
            var jwe = JWEObject.parse(token);
            jwe.decrypt(new ECDHDecrypter(key));
            return jwe.getPayload().toBytes();
        } catch (ParseException | JOSEException | IllegalArgumentException | IllegalStateException error) {
            throw new Refusal("malformed", "it cannot be opened");
        }
    }
}
