package org.ecluse.interop;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.security.SecureRandom;
import java.util.Base64;
import java.util.HexFormat;

/** Bytes in their one spelling (§2). */
final class Bytes {
    static final SecureRandom RANDOM = new SecureRandom();

    private Bytes() {}

    static byte[] concat(byte[]... parts) {
        var out = new ByteArrayOutputStream();
        for (byte[] part : parts) {
            out.writeBytes(part);
        }
        return out.toByteArray();
    }

    static byte[] sha256(byte[]... parts) {
        try {
            return MessageDigest.getInstance("SHA-256").digest(concat(parts));
        } catch (GeneralSecurityException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    static byte[] ascii(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static String text(byte[] bytes) {
        return new String(bytes, StandardCharsets.ISO_8859_1);
    }

    static byte[] length32(int length) {
        return ByteBuffer.allocate(4).putInt(length).array();
    }

    static byte[] prefixed(byte[] bytes) {
        return concat(length32(bytes.length), bytes);
    }

    static byte[] random(int size) {
        byte[] bytes = new byte[size];
        RANDOM.nextBytes(bytes);
        return bytes;
    }

    static String hex(byte[] bytes) {
        return HexFormat.of().formatHex(bytes);
    }

    static String b64u(byte[] bytes) {
        return Base64.getUrlEncoder().withoutPadding().encodeToString(bytes);
    }

    /** Base64url without padding, white space or trailing bits. */
    static byte[] unb64u(String text, String code) {
        try {
            byte[] bytes = Base64.getUrlDecoder().decode(text);
            Refusal.demand(b64u(bytes).equals(text), code, "not base64url");
            return bytes;
        } catch (IllegalArgumentException error) {
            throw new Refusal(code, "not base64url");
        }
    }

    static byte[] unb64u(String text) {
        return unb64u(text, "malformed");
    }

    static byte[] unb64(String text, String code) {
        try {
            byte[] bytes = Base64.getDecoder().decode(text);
            Refusal.demand(Base64.getEncoder().encodeToString(bytes).equals(text), code, "not base64");
            return bytes;
        } catch (IllegalArgumentException error) {
            throw new Refusal(code, "not base64");
        }
    }

    static String b64(byte[] bytes) {
        return Base64.getEncoder().encodeToString(bytes);
    }
}
