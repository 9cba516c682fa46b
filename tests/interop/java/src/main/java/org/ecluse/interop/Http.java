package org.ecluse.interop;

import java.io.ByteArrayOutputStream;
import java.io.Closeable;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.net.Socket;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import javax.net.ssl.SNIHostName;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocket;

/** §6, the client half: HTTP/1.1 on one TLS connection, written out, so that it can also be spoken wrongly. */
final class Http implements Closeable {
    static final String BATCH = "application/vnd.ecluse.sealed-batch";
    static final String RECEIPT = "application/vnd.ecluse.receipt+jose";
    static final String MESSAGES = "/exchange/v1/messages";
    private static final int MOST_ANSWER = 262144;
    private static final int PATIENCE_MS = 60000;

    private final URI endpoint;
    private final String name;
    private final SSLContext context;
    private final String[] versions;
    private final String[] ciphers;
    private SSLSocket socket;

    Http(String endpoint, String name, SSLContext context) {
        this(endpoint, name, context, Tls.VERSIONS, Tls.CIPHERS);
    }

    Http(String endpoint, String name, SSLContext context, String[] versions, String[] ciphers) {
        this.endpoint = URI.create(endpoint);
        this.name = name;
        this.context = context;
        this.versions = versions.clone();
        this.ciphers = ciphers.clone();
    }

    /** Status, header fields in lower case, body. */
    record Answer(int status, Map<String, String> fields, byte[] body) {
        String type() {
            return fields.getOrDefault("content-type", "");
        }

        String text() {
            return new String(body, StandardCharsets.UTF_8);
        }
    }

    Answer post(byte[] body, Map<String, String> changed) throws IOException {
        Map<String, String> fields = new TreeMap<>(Map.of("Content-Type", BATCH, "Content-Length", "" + body.length));
        fields.putAll(changed);
        return ask("POST", MESSAGES, fields, body);
    }

    Answer receipt(String id) throws IOException {
        return ask("GET", MESSAGES + "/" + id + "/receipt", Map.of(), new byte[0]);
    }

    /** One request. A connection that the other end has closed while idle is opened anew, once: nothing of the request had arrived. */
    Answer ask(String method, String path, Map<String, String> fields, byte[] body) throws IOException {
        var head = new StringBuilder(method + " " + path + " HTTP/1.1\r\nHost: " + endpoint.getHost() + ":" + endpoint.getPort() + "\r\n");
        fields.forEach((field, value) -> head.append(field).append(": ").append(value).append("\r\n"));
        byte[] request = Bytes.concat(Bytes.ascii(head + "\r\n"), body);
        boolean reused = socket != null;
        try {
            return exchange(request);
        } catch (IOException error) {
            close();
            if (!reused) {
                throw error;
            }
            return exchange(request);
        }
    }

    private Answer exchange(byte[] request) throws IOException {
        if (socket == null) {
            connect();
        }
        socket.getOutputStream().write(request);
        socket.getOutputStream().flush();
        InputStream in = socket.getInputStream();
        String status = line(in);
        Map<String, String> fields = new TreeMap<>();
        for (String field = line(in); !field.isEmpty(); field = line(in)) {
            int colon = field.indexOf(':');
            fields.put(field.substring(0, colon).toLowerCase(Locale.ROOT), field.substring(colon + 1).strip());
        }
        int length = Integer.parseInt(fields.getOrDefault("content-length", "0"));
        Refusal.demand(length <= MOST_ANSWER, "unexpected", "an answer too large");
        byte[] body = in.readNBytes(length);
        if (body.length < length) {
            throw new EOFException("an answer cut off");
        }
        if ("close".equalsIgnoreCase(fields.get("connection"))) {
            close();
        }
        return new Answer(Integer.parseInt(status.split(" ")[1]), fields, body);
    }

    private void connect() throws IOException {
        Socket plain = new Socket(endpoint.getHost(), endpoint.getPort());
        plain.setSoTimeout(PATIENCE_MS);
        socket = (SSLSocket) context.getSocketFactory().createSocket(plain, name, endpoint.getPort(), true);
        var parameters = socket.getSSLParameters();
        parameters.setServerNames(List.of(new SNIHostName(name)));
        parameters.setProtocols(versions);
        parameters.setCipherSuites(ciphers);
        socket.setSSLParameters(parameters);
        socket.startHandshake();
    }

    private static String line(InputStream in) throws IOException {
        var out = new ByteArrayOutputStream();
        for (int one = in.read(); one != '\n'; one = in.read()) {
            if (one < 0) {
                throw new EOFException("no answer");
            }
            if (one != '\r') {
                out.write(one);
            }
        }
        return out.toString(StandardCharsets.ISO_8859_1);
    }

    @Override
    public void close() throws IOException {
        if (socket != null) {
            socket.close();
            socket = null;
        }
    }
}
