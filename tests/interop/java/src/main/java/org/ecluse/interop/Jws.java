package org.ecluse.interop;

import static org.ecluse.interop.Bytes.b64u;
import static org.ecluse.interop.Bytes.concat;
import static org.ecluse.interop.Bytes.unb64u;
import static org.ecluse.interop.Refusal.demand;

import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.JWSHeader;
import com.nimbusds.jose.JWSObject;
import com.nimbusds.jose.Payload;
import com.nimbusds.jose.crypto.ECDSASigner;
import com.nimbusds.jose.crypto.ECDSAVerifier;
import com.nimbusds.jose.util.Base64URL;
import java.math.BigInteger;
import java.security.GeneralSecurityException;
import java.security.PrivateKey;
import java.security.interfaces.ECPrivateKey;
import java.text.ParseException;
import java.util.Arrays;
import java.util.Map;
import java.util.Set;

/** ES256 in compact serialization, detached (RFC 7797) or attached; s is made and demanded low (§9.2). */
final class Jws {
    static final BigInteger N = new BigInteger("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16);

    private Jws() {}

    /** A detached compact JWS, taken apart: the bytes of its header, both texts as they stood. */
    record Detached(byte[] head, String protectedHeader, String signature) {
        static Detached of(String token, String code) {
            String[] parts = token.split("\\.", -1);
            demand(parts.length == 3 && parts[1].isEmpty(), code, "no detached compact JWS");
            return new Detached(unb64u(parts[0], code), parts[0], parts[2]);
        }
    }

    static String sign(Map<String, Object> header, byte[] payload, PrivateKey key, boolean detached) {
        try {
            // parsed from our own bytes: the library keeps them, and with them the order of the members
            var jws = new JWSObject(JWSHeader.parse(Base64URL.encode(Json.ordered(header))), new Payload(payload));
            jws.sign(new ECDSASigner((ECPrivateKey) key));
            String[] parts = jws.serialize(detached).split("\\.", -1);
            return parts[0] + "." + parts[1] + "." + b64u(low(unb64u(parts[2])));
        } catch (ParseException | JOSEException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    static void verify(String protectedHeader, byte[] payload, String signature, Map<String, Object> record, String code) {
        demandLow(unb64u(signature, code), code);
        try {
            var jws = new JWSObject(new Base64URL(protectedHeader), new Payload(payload), new Base64URL(signature));
            var verifier = new ECDSAVerifier(Keys.ecPublic(Keys.publicOf(record)), Set.of("b64"));
            demand(jws.verify(verifier), code, "the signature does not hold");
        } catch (ParseException | JOSEException | GeneralSecurityException error) {
            throw new Refusal(code, "the signature does not hold");
        }
    }

    static byte[] signingInput(String protectedHeader, byte[] payload) {
        return concat(Bytes.ascii(protectedHeader + "."), payload);
    }

    static byte[] high(byte[] signature) {
        return withS(signature, N.subtract(s(signature)));
    }

    private static byte[] low(byte[] signature) {
        return s(signature).compareTo(N.shiftRight(1)) > 0 ? high(signature) : signature;
    }

    private static void demandLow(byte[] signature, String code) {
        demand(signature.length == 64, code, "the length of a signature");
        BigInteger r = new BigInteger(1, Arrays.copyOf(signature, 32));
        boolean inRange = r.signum() > 0 && r.compareTo(N) < 0 && s(signature).signum() > 0 && s(signature).compareTo(N.shiftRight(1)) <= 0;
        demand(inRange, code, "r or s out of range");
    }

    private static BigInteger s(byte[] signature) {
        return new BigInteger(1, Arrays.copyOfRange(signature, 32, 64));
    }

    private static byte[] withS(byte[] signature, BigInteger s) {
        byte[] changed = Arrays.copyOf(signature, 64);
        byte[] raw = s.toByteArray();
        Arrays.fill(changed, 32, 64, (byte) 0);
        int size = Math.min(raw.length, 32);
        System.arraycopy(raw, raw.length - size, changed, 64 - size, size);
        return changed;
    }
}
