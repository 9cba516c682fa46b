package org.ecluse.interop;

import static org.ecluse.interop.Bytes.hex;
import static org.ecluse.interop.Bytes.sha256;
import static org.ecluse.interop.Bytes.unb64u;
import static org.ecluse.interop.Json.text;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.net.Socket;
import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.security.KeyStore;
import java.security.PublicKey;
import java.security.cert.CertPathValidator;
import java.security.cert.CertStore;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.CollectionCertStoreParameters;
import java.security.cert.PKIXParameters;
import java.security.cert.TrustAnchor;
import java.security.cert.X509CRL;
import java.security.cert.X509Certificate;
import java.security.interfaces.ECPublicKey;
import java.security.interfaces.RSAPublicKey;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.TrustManager;
import javax.net.ssl.X509ExtendedTrustManager;

/** §5: what each end checks of the other's certificate, during the handshake: no byte of HTTP counts before it. */
final class Tls extends X509ExtendedTrustManager {
    static final String[] VERSIONS = {"TLSv1.3"};
    static final String[] CIPHERS = {"TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"};
    private static final Map<String, String> PURPOSE = Map.of("tls-server", "1.3.6.1.5.5.7.3.1", "tls-client", "1.3.6.1.5.5.7.3.2");
    private static final Set<String> UNDERSTOOD = Set.of("2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.37");
    private static final Duration LONGEST = Duration.ofDays(398);
    private static final int URI = 6;
    private static final int DNS = 2;

    private final Map<String, Object> entry;
    private final X509Certificate authority;
    private final X509CRL crl;

    Tls(Map<String, Object> entry, X509Certificate authority, X509CRL crl) {
        this.entry = entry;
        this.authority = authority;
        this.crl = crl;
    }

    static X509Certificate certificate(byte[] pem) throws CertificateException {
        return (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(new ByteArrayInputStream(pem));
    }

    static X509CRL crl(byte[] pem) throws GeneralSecurityException {
        return (X509CRL) CertificateFactory.getInstance("X.509").generateCRL(new ByteArrayInputStream(pem));
    }

    /** A context that trusts this partner and nobody else; `pair` may be null: then we show no certificate. */
    SSLContext context(KeyPair pair, X509Certificate own) throws GeneralSecurityException, IOException {
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        if (pair != null) {
            store.setKeyEntry("own", pair.getPrivate(), new char[0], new X509Certificate[] {own});
        }
        var keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        keys.init(store, new char[0]);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), new TrustManager[] {this}, Bytes.RANDOM);
        return context;
    }

    private void check(X509Certificate[] chain, String use) throws CertificateException {
        X509Certificate leaf = chain[0];
        checkPath(chain); // 1, 2
        checkProfile(leaf, use); // 3
        hold(uris(leaf).equals(List.of("urn:ecluse:org:" + text(entry, "org"))), "another organisation"); // 4
        hold(!Boolean.TRUE.equals(entry.get("stopped")), "stopped");
        Set<String> ends = Set.of(digest(leaf.getPublicKey()), digest(authority.getPublicKey()));
        boolean pinned = Json.list(entry.get("keys")).stream().map(Json::object) // 5
            .filter(key -> use.equals(key.get("use")) && !Boolean.TRUE.equals(key.get("revoked")))
            .anyMatch(key -> ends.contains(hex(sha256(unb64u(text(key, "public"))))));
        hold(pinned, "not pinned");
        if (use.equals("tls-server")) {
            hold(names(leaf, DNS).contains(text(entry, "tls_name")), "another host name");
        }
    }

    private void checkPath(X509Certificate[] chain) throws CertificateException {
        try {
            List<X509Certificate> path = new ArrayList<>();
            for (X509Certificate one : chain) {
                if (!one.equals(authority)) {
                    path.add(one);
                }
            }
            hold(crl.getNextUpdate() != null, "a revocation list without end");
            var parameters = new PKIXParameters(Set.of(new TrustAnchor(authority, null)));
            parameters.setRevocationEnabled(true);
            parameters.addCertStore(CertStore.getInstance("Collection", new CollectionCertStoreParameters(List.of(crl))));
            var factory = CertificateFactory.getInstance("X.509");
            CertPathValidator.getInstance("PKIX").validate(factory.generateCertPath(path), parameters);
        } catch (CertificateException error) {
            throw error;
        } catch (GeneralSecurityException error) {
            throw new CertificateException(error);
        }
    }

    private static void checkProfile(X509Certificate leaf, String use) throws CertificateException {
        Duration life = Duration.between(leaf.getNotBefore().toInstant(), leaf.getNotAfter().toInstant());
        boolean[] usage = leaf.getKeyUsage();
        int used = 0;
        for (int i = 0; usage != null && i < usage.length; i++) {
            used += usage[i] ? 1 : 0;
        }
        Set<String> critical = leaf.getCriticalExtensionOIDs();
        hold(leaf.getVersion() == 3 && leaf.getSerialNumber().signum() > 0 && leaf.getSerialNumber().bitLength() <= 159, "version or serial");
        hold(life.compareTo(LONGEST) <= 0, "a certificate that lives too long");
        hold(leaf.getBasicConstraints() < 0 && critical.contains("2.5.29.19"), "basic constraints");
        hold(usage != null && usage[0] && used == 1 && critical.contains("2.5.29.15"), "key usage");
        hold(List.of(PURPOSE.get(use)).equals(leaf.getExtendedKeyUsage()), "another purpose");
        hold(UNDERSTOOD.containsAll(critical), "an unknown critical extension");
        hold(strong(leaf.getPublicKey()) && leaf.getSigAlgName().matches("SHA(256|384|512)with.*"), "a weak key or signature");
        hold(names(leaf, DNS).stream().noneMatch(name -> name.contains("*")), "a wildcard");
    }

    private static boolean strong(PublicKey key) {
        if (key instanceof ECPublicKey ec) {
            return List.of(256, 384).contains(ec.getParams().getCurve().getField().getFieldSize());
        }
        return key instanceof RSAPublicKey rsa && rsa.getModulus().bitLength() >= 3000;
    }

    private static List<String> uris(X509Certificate leaf) throws CertificateException {
        return names(leaf, URI);
    }

    private static List<String> names(X509Certificate leaf, int type) throws CertificateException {
        Collection<List<?>> all = leaf.getSubjectAlternativeNames();
        return all == null ? List.of() : all.stream().filter(name -> name.get(0).equals(type)).map(name -> (String) name.get(1)).toList();
    }

    private static String digest(PublicKey key) {
        return hex(sha256(key.getEncoded()));
    }

    private static void hold(boolean holds, String what) throws CertificateException {
        if (!holds) {
            throw new CertificateException(what);
        }
    }

    @Override
    public void checkClientTrusted(X509Certificate[] chain, String type) throws CertificateException {
        check(chain, "tls-client");
    }

    @Override
    public void checkServerTrusted(X509Certificate[] chain, String type) throws CertificateException {
        check(chain, "tls-server");
    }

    @Override
    public void checkClientTrusted(X509Certificate[] chain, String type, Socket socket) throws CertificateException {
        check(chain, "tls-client");
    }

    @Override
    public void checkClientTrusted(X509Certificate[] chain, String type, SSLEngine engine) throws CertificateException {
        check(chain, "tls-client");
    }

    @Override
    public void checkServerTrusted(X509Certificate[] chain, String type, Socket socket) throws CertificateException {
        check(chain, "tls-server");
    }

    @Override
    public void checkServerTrusted(X509Certificate[] chain, String type, SSLEngine engine) throws CertificateException {
        check(chain, "tls-server");
    }

    @Override
    public X509Certificate[] getAcceptedIssuers() {
        return new X509Certificate[] {authority};
    }
}
