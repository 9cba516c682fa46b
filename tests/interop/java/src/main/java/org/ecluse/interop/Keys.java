package org.ecluse.interop;

import static org.ecluse.interop.Bytes.b64u;
import static org.ecluse.interop.Bytes.sha256;
import static org.ecluse.interop.Bytes.unb64u;
import static org.ecluse.interop.Json.text;

import java.io.IOException;
import java.io.StringWriter;
import java.math.BigInteger;
import java.security.AlgorithmParameters;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.PublicKey;
import java.security.cert.X509Certificate;
import java.security.interfaces.ECPrivateKey;
import java.security.interfaces.ECPublicKey;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.ECParameterSpec;
import java.security.spec.ECPrivateKeySpec;
import java.security.spec.X509EncodedKeySpec;
import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import javax.security.auth.x500.X500Principal;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.asn1.x509.SubjectPublicKeyInfo;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.openssl.jcajce.JcaPEMWriter;
import org.bouncycastle.operator.OperatorCreationException;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.pkcs.jcajce.JcaPKCS10CertificationRequestBuilder;

/** §3 Keys, key records and the directory entry. Private keys stay in memory. */
final class Keys {
    static final BouncyCastleProvider BC = new BouncyCastleProvider();
    static final String LATTICE = "ML-DSA-65";
    static final List<String> TYPES = List.of("disclosure", "request", "clarification", "answer", "consent-request", "emergency",
        "no-information", "refusal", "delay", "recall", "correction", "consent-answer", "agreement", "partner-update", "status", "ping",
        "checkpoint", "void");
    private static final ASN1ObjectIdentifier ML_DSA_65 = new ASN1ObjectIdentifier("2.16.840.1.101.3.4.3.18"); // RFC 9881 §2
    private static final byte[] ED25519_SPKI = java.util.HexFormat.of().parseHex("302a300506032b6570032100");
    private static final List<String> USES = List.of("tls-server", "tls-client", "message", "receipt", "agreement");

    final String org;
    final Map<String, KeyPair> ec = new LinkedHashMap<>();
    final KeyPair lattice;
    final KeyPair log;
    final Hpke.Key hpke = Hpke.Key.of(Bytes.random(32));
    final KeyPair jwe = ecPair();

    Keys(String org) throws GeneralSecurityException {
        this.org = org;
        USES.forEach(use -> ec.put(use, ecPair()));
        lattice = KeyPairGenerator.getInstance(LATTICE, BC).generateKeyPair();
        log = KeyPairGenerator.getInstance("Ed25519").generateKeyPair();
    }

    Container.OwnKeys encryption() {
        return new Container.OwnKeys(hpke, org + "/hpke", (ECPrivateKey) jwe.getPrivate(), org + "/jwe");
    }

    // --- primitives ---

    static KeyPair ecPair() {
        try {
            var generator = KeyPairGenerator.getInstance("EC");
            generator.initialize(new ECGenParameterSpec("secp256r1"));
            return generator.generateKeyPair();
        } catch (GeneralSecurityException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    static ECPrivateKey ecPrivate(BigInteger scalar) throws GeneralSecurityException {
        var parameters = AlgorithmParameters.getInstance("EC");
        parameters.init(new ECGenParameterSpec("secp256r1"));
        var curve = parameters.getParameterSpec(ECParameterSpec.class);
        return (ECPrivateKey) KeyFactory.getInstance("EC").generatePrivate(new ECPrivateKeySpec(scalar, curve));
    }

    static ECPublicKey ecPublic(byte[] spki) throws GeneralSecurityException {
        return (ECPublicKey) KeyFactory.getInstance("EC").generatePublic(new X509EncodedKeySpec(spki));
    }

    static PublicKey edPublic(byte[] raw) throws GeneralSecurityException {
        return KeyFactory.getInstance("Ed25519").generatePublic(new X509EncodedKeySpec(Bytes.concat(ED25519_SPKI, raw)));
    }

    static byte[] edRaw(PublicKey key) {
        return java.util.Arrays.copyOfRange(key.getEncoded(), ED25519_SPKI.length, key.getEncoded().length);
    }

    static PublicKey latticePublic(byte[] raw) throws GeneralSecurityException, IOException {
        byte[] spki = new SubjectPublicKeyInfo(new AlgorithmIdentifier(ML_DSA_65), raw).getEncoded();
        return KeyFactory.getInstance(LATTICE, BC).generatePublic(new X509EncodedKeySpec(spki));
    }

    // --- requests, entry ---

    /** Name to signing request (PKCS#10, PEM). */
    Map<String, String> requests() throws OperatorCreationException, IOException {
        Map<String, String> requests = new LinkedHashMap<>();
        for (String use : USES.subList(0, 4)) {
            requests.put(use, request(use, ec.get(use), "SHA256withECDSA"));
        }
        requests.put("message-pq", request("message-pq", lattice, LATTICE));
        return requests;
    }

    private String request(String use, KeyPair pair, String algorithm) throws OperatorCreationException, IOException {
        var builder = new JcaPKCS10CertificationRequestBuilder(new X500Principal("CN=" + org + " " + use), pair.getPublic());
        var signer = new JcaContentSignerBuilder(algorithm);
        if (algorithm.equals(LATTICE)) {
            signer.setProvider(BC);
        }
        var text = new StringWriter();
        try (var pem = new JcaPEMWriter(text)) {
            pem.writeObject(builder.build(signer.build(pair.getPrivate())));
        }
        return text.toString();
    }

    Map<String, Object> entry(String name, String endpoint, Map<String, X509Certificate> certificates) throws GeneralSecurityException {
        List<Object> types = new ArrayList<>(TYPES.stream().map(type -> "ecluse-msg-" + type + "+jws").toList());
        byte[] rawLattice = SubjectPublicKeyInfo.getInstance(lattice.getPublic().getEncoded()).getPublicKeyData().getOctets();
        List<Object> records = List.of(
            certified(es256("tls-server"), certificates.get("tls-server")),
            certified(es256("tls-client"), certificates.get("tls-client")),
            certified(Json.with(es256("message"), "typ", types), certificates.get("message")),
            certified(Json.with(record("message-pq", "message", LATTICE, rawLattice), "typ", types), certificates.get("message-pq")),
            certified(Json.with(es256("receipt"), "typ", List.of("ecluse-receipt+jws")), certificates.get("receipt")),
            record("hpke", "encryption", Container.HPKE, hpke.publicKey()),
            record("jwe", "encryption", Container.JWE, jwe.getPublic().getEncoded()),
            record("log", "log", "Ed25519", edRaw(log.getPublic())),
            Json.with(es256("agreement"), "typ", List.of("ecluse-agreement+jws")));
        return Json.of("org", org, "nation", org.substring(0, 3).toUpperCase(java.util.Locale.ROOT), "name", name, "recipient_kind", "police",
            "keys", records, "endpoint", endpoint, "tls_name", "localhost", "formats", List.of("ct-exchange-json/1.0"),
            "languages", List.of("fr", "en"), "assurance", Json.of("end_to_end_encrypted", true, "ordered", true, "origin_signed", true,
                "recall_ack", true, "receipt", "signed"));
    }

    private Map<String, Object> es256(String use) {
        return record(use, use, "ES256", ec.get(use).getPublic().getEncoded());
    }

    private Map<String, Object> record(String id, String use, String alg, byte[] publicKey) {
        return Json.of("kid", org + "/" + id, "use", use, "alg", alg, "public", b64u(publicKey));
    }

    private static Map<String, Object> certified(Map<String, Object> record, X509Certificate certificate) throws GeneralSecurityException {
        byte[] raw = certificate.getEncoded();
        return Json.with(record, "certificate", b64u(raw), "x5t", b64u(sha256(raw)));
    }

    /** Records of one use and algorithm that count now, in the order of the entry. */
    static Stream<Map<String, Object>> valid(Map<String, Object> entry, String use, String alg, Instant now) {
        String at = Forms.instant(now);
        return Json.list(entry.get("keys")).stream().map(Json::object)
            .filter(key -> use.equals(key.get("use")) && alg.equals(key.get("alg")) && !Boolean.TRUE.equals(key.get("revoked")))
            .filter(key -> !key.containsKey("not_before") || text(key, "not_before").compareTo(at) <= 0)
            .filter(key -> !key.containsKey("not_after") || at.compareTo(text(key, "not_after")) < 0);
    }

    static byte[] publicOf(Map<String, Object> record) {
        return unb64u(text(record, "public"));
    }
}
