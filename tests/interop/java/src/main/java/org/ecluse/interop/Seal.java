package org.ecluse.interop;

import static org.ecluse.interop.Bytes.b64u;
import static org.ecluse.interop.Bytes.hex;
import static org.ecluse.interop.Bytes.sha256;
import static org.ecluse.interop.Bytes.unb64u;
import static org.ecluse.interop.Forms.is;
import static org.ecluse.interop.Json.number;
import static org.ecluse.interop.Json.text;
import static org.ecluse.interop.Refusal.demand;

import java.io.IOException;
import java.security.GeneralSecurityException;
import java.security.Signature;
import java.time.Instant;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;

/** §9: the seal, read from a JWS that has not been verified yet, or made. */
record Seal(Map<String, Object> members, Jws.Detached jws) {
    private static final long SKEW = 300;
    private static final long LIFE = 2592000;
    private static final int MOST_HEADER = 16384;
    private static final String BAD = "signature-invalid";
    private static final Map<String, Predicate<Object>> FORMS = Forms.forms(is("alg", Forms.among("ES256", Keys.LATTICE)), is("kid", Forms.KID),
        is("typ", Forms.among(Keys.TYPES.stream().map(type -> "ecluse-msg-" + type + "+jws").toArray())),
        is("cty", Forms.text("[a-z0-9][a-z0-9!#$&^_.+/-]{0,126}")), is("crit", List.of("b64")::equals), is("b64", Boolean.FALSE::equals),
        is("x5t#S256", Forms.THUMBPRINT), is("iat", Forms.count(0)), is("exp", Forms.count(0)), is("iss", Forms.ORG), is("aud", Forms.ORG),
        is("enc_kid", Forms.KID), is("suite", Forms.among(Container.HPKE, Container.JWE)), is("sig_profile", Forms.among("classic", "hybrid")),
        is("jti", Forms.UUID4), is("conv", Forms.UUID4), is("seq", Forms.count(1)), is("mode", Forms.among("operational", "exercise", "test")),
        is("agreement", Forms.DIGEST), is("payload_sha256", Forms.DIGEST), is("checkpoint", Forms.characters(1, 8192)));

    /** Step 7 of §11 for one JWS. */
    static Seal read(String token, String alg) {
        var jws = Jws.Detached.of(token, "malformed");
        demand(jws.head().length <= MOST_HEADER, "a seal too long");
        Map<String, Object> members = Forms.closed(Json.exact(jws.head()), FORMS, "malformed");
        demand(alg.equals(members.get("alg")), "another algorithm");
        demand(Forms.sameOrder(members, FORMS.keySet()), "members in another order");
        demand(number(members, "iat") < number(members, "exp"), "it ends before it begins");
        unb64u(jws.signature());
        return new Seal(members, jws);
    }

    static Seal read(String token) {
        return read(token, "ES256");
    }

    String get(String name) {
        return text(members, name);
    }

    void demandSame(Map<String, Object> preamble) {
        for (String name : Container.NAMED) {
            demand(members.get(name).equals(preamble.get(name)), "preamble and seal differ in " + name);
        }
    }

    // --- making ---

    static Map<String, Object> inOrder(Map<String, Object> members) {
        Map<String, Object> seal = new LinkedHashMap<>();
        FORMS.keySet().forEach(name -> seal.put(name, members.get(name)));
        return seal;
    }

    static String second(Map<String, Object> members, byte[] payload, Keys keys, Map<String, Object> record) {
        Map<String, Object> header = Json.with(inOrder(members), "alg", Keys.LATTICE, "kid", record.get("kid"), "x5t#S256", record.get("x5t"));
        String head = b64u(Json.ordered(header));
        try {
            var signer = Signature.getInstance(Keys.LATTICE, Keys.BC);
            signer.initSign(keys.lattice.getPrivate());
            signer.update(Jws.signingInput(head, payload));
            return head + ".." + b64u(signer.sign());
        } catch (GeneralSecurityException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    // --- verifying ---

    /** Steps 10 and 11 of §11: profile, digest, keys, signatures, window. */
    void verify(String secondToken, byte[] payload, Map<String, Object> entry, String profile, Instant now) {
        demand(profile.equals(get("sig_profile")), "outside-agreement", "another profile");
        boolean hybrid = profile.equals("hybrid");
        demand(hybrid != secondToken.isEmpty(), BAD, "the second signature");
        Seal second = hybrid ? read(secondToken, Keys.LATTICE) : null;
        demand(get("payload_sha256").equals(hex(sha256(payload))), BAD, "the digest of the payload");
        Jws.verify(jws.protectedHeader(), payload, jws.signature(), record(entry, now), BAD);
        if (second != null) {
            verifySecond(second, payload, entry, now);
        }
        long at = now.getEpochSecond();
        long iat = number(members, "iat");
        long exp = number(members, "exp");
        demand(iat <= at + SKEW && at < exp && exp - iat <= LIFE + 2 * SKEW, "replayed", "outside its window");
    }

    private void verifySecond(Seal second, byte[] payload, Map<String, Object> entry, Instant now) {
        Map<String, Object> expected = Json.with(members, "alg", Keys.LATTICE, "kid", second.get("kid"), "x5t#S256", second.get("x5t#S256"));
        demand(Arrays.equals(Json.ordered(expected), second.jws.head()), BAD, "the second header");
        demand(!second.get("kid").equals(get("kid")), BAD, "one key id twice");
        byte[] signature = unb64u(second.jws.signature(), BAD);
        demand(signature.length == 3309, BAD, "the length of a signature");
        boolean holds;
        try {
            var verifier = Signature.getInstance(Keys.LATTICE, Keys.BC);
            verifier.initVerify(Keys.latticePublic(Keys.publicOf(second.record(entry, now))));
            verifier.update(Jws.signingInput(second.jws.protectedHeader(), payload));
            holds = verifier.verify(signature);
        } catch (GeneralSecurityException | IOException error) {
            holds = false;
        }
        demand(holds, BAD, "the second signature does not hold");
    }

    private Map<String, Object> record(Map<String, Object> entry, Instant now) {
        var record = Keys.valid(entry, "message", get("alg"), now).filter(key -> get("kid").equals(key.get("kid"))).findFirst()
            .orElseThrow(() -> new Refusal(BAD, "no such message key"));
        demand(record.get("typ") instanceof List<?> types && types.contains(get("typ")), BAD, "a key for other types");
        demand(get("x5t#S256").equals(record.get("x5t")), BAD, "another certificate");
        return record;
    }
}
