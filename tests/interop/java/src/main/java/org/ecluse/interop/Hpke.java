package org.ecluse.interop;

import static org.ecluse.interop.Bytes.ascii;
import static org.ecluse.interop.Bytes.concat;
import static org.ecluse.interop.Refusal.demand;

import java.security.GeneralSecurityException;
import java.util.Arrays;
import javax.crypto.Cipher;
import javax.crypto.Mac;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.SecretKeySpec;
import org.bouncycastle.crypto.digests.SHA3Digest;
import org.bouncycastle.crypto.digests.SHAKEDigest;
import org.bouncycastle.crypto.kems.MLKEMExtractor;
import org.bouncycastle.crypto.kems.MLKEMGenerator;
import org.bouncycastle.crypto.params.MLKEMParameters;
import org.bouncycastle.crypto.params.MLKEMPrivateKeyParameters;
import org.bouncycastle.crypto.params.MLKEMPublicKeyParameters;
import org.bouncycastle.crypto.params.X25519PrivateKeyParameters;
import org.bouncycastle.crypto.params.X25519PublicKeyParameters;

/** §8.3: HPKE base mode, single shot, with the KEM and the key schedule written out as the document does. */
final class Hpke {
    static final int OVERHEAD = 1136;
    private static final int PK_M = 1184;
    private static final int CT_M = 1088;
    private static final int ENC = 1120;
    private static final byte[] LABEL = {0x5c, 0x2e, 0x2f, 0x2f, 0x5e, 0x5c};
    private static final byte[] SUITE = concat(ascii("HPKE"), new byte[] {0x64, 0x7a, 0, 1, 0, 2});

    private Hpke() {}

    /** A private key; `publicKey` are the 1216 bytes of §3. */
    record Key(MLKEMPrivateKeyParameters lattice, X25519PrivateKeyParameters curve, byte[] publicKey) {
        static Key of(byte[] seed) {
            byte[] expanded = new byte[96];
            var shake = new SHAKEDigest(256);
            shake.update(seed, 0, seed.length);
            shake.doFinal(expanded, 0, expanded.length);
            var lattice = new MLKEMPrivateKeyParameters(MLKEMParameters.ml_kem_768, Arrays.copyOf(expanded, 64));
            var curve = new X25519PrivateKeyParameters(expanded, 64);
            return new Key(lattice, curve, concat(lattice.getPublicKey(), curve.generatePublicKey().getEncoded()));
        }
    }

    static byte[] seal(byte[] info, byte[] plaintext, byte[] publicKey) {
        byte[] theirs = Arrays.copyOfRange(publicKey, PK_M, publicKey.length);
        var encapsulated = new MLKEMGenerator(Bytes.RANDOM)
            .generateEncapsulated(new MLKEMPublicKeyParameters(MLKEMParameters.ml_kem_768, Arrays.copyOf(publicKey, PK_M)));
        var ephemeral = new X25519PrivateKeyParameters(Bytes.RANDOM);
        byte[] share = ephemeral.generatePublicKey().getEncoded();
        byte[] secret = combine(encapsulated.getSecret(), agree(ephemeral, theirs), share, theirs);
        return concat(encapsulated.getEncapsulation(), share, gcm(Cipher.ENCRYPT_MODE, secret, info, plaintext));
    }

    static byte[] open(byte[] info, byte[] sealed, Key key) {
        byte[] share = Arrays.copyOfRange(sealed, CT_M, ENC);
        byte[] lattice = new MLKEMExtractor(key.lattice).extractSecret(Arrays.copyOf(sealed, CT_M));
        byte[] ours = key.curve.generatePublicKey().getEncoded();
        byte[] secret = combine(lattice, agree(key.curve, share), share, ours);
        return gcm(Cipher.DECRYPT_MODE, secret, info, Arrays.copyOfRange(sealed, ENC, sealed.length));
    }

    private static byte[] agree(X25519PrivateKeyParameters ours, byte[] theirs) {
        byte[] shared = new byte[32];
        try {
            ours.generateSecret(new X25519PublicKeyParameters(theirs, 0), shared, 0);
        } catch (IllegalStateException zero) {
            throw new Refusal("malformed", "a share of small order");
        }
        return shared;
    }

    private static byte[] combine(byte[] lattice, byte[] curve, byte[] share, byte[] publicKey) {
        byte[] input = concat(lattice, curve, share, publicKey, LABEL);
        byte[] secret = new byte[32];
        var sha3 = new SHA3Digest(256);
        sha3.update(input, 0, input.length);
        sha3.doFinal(secret, 0);
        return secret;
    }

    // --- key schedule ---

    private static byte[] gcm(int mode, byte[] shared, byte[] info, byte[] input) {
        try {
            byte[] context = concat(new byte[1], extract(new byte[0], "psk_id_hash", new byte[0]), extract(new byte[0], "info_hash", info));
            byte[] secret = extract(shared, "secret", new byte[0]);
            var cipher = Cipher.getInstance("AES/GCM/NoPadding");
            var key = new SecretKeySpec(expand(secret, "key", context, 32), "AES");
            cipher.init(mode, key, new GCMParameterSpec(128, expand(secret, "base_nonce", context, 12)));
            return cipher.doFinal(input);
        } catch (GeneralSecurityException error) {
            throw new Refusal("malformed", "it cannot be opened");
        }
    }

    private static byte[] extract(byte[] salt, String label, byte[] material) throws GeneralSecurityException {
        return hmac(salt.length == 0 ? new byte[32] : salt, ascii("HPKE-v1"), SUITE, ascii(label), material);
    }

    private static byte[] expand(byte[] key, String label, byte[] info, int length) throws GeneralSecurityException {
        demand(length <= 32, "more than one block");
        byte[] labeled = concat(new byte[] {0, (byte) length}, ascii("HPKE-v1"), SUITE, ascii(label), info);
        return Arrays.copyOf(hmac(key, labeled, new byte[] {1}), length); // HKDF-Expand, one block
    }

    private static byte[] hmac(byte[] key, byte[]... parts) throws GeneralSecurityException {
        var mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        return mac.doFinal(concat(parts));
    }
}
