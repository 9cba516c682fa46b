package org.ecluse.interop;

import static org.ecluse.interop.Json.text;
import static org.ecluse.interop.Refusal.demand;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsParameters;
import com.sun.net.httpserver.HttpsServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentLinkedDeque;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.regex.Pattern;
import javax.net.ssl.SSLContext;

/** §6, the server half, on the JDK's own HTTPS server. `trouble` scripts what happens to the next POSTs. */
final class Listener {
    private static final Pattern ASKED = Pattern.compile(Http.MESSAGES + "/([0-9a-f-]{36})/receipt");
    private static final int MOST_BODY = 16777216;
    private static final Map<String, Integer> STATUS = Map.of("malformed", 400, "unknown-partner", 403, "wrong-audience", 403, "replayed", 403,
        "length-required", 411, "too-large", 413, "unavailable", 503);

    private final Deque<String> trouble = new ConcurrentLinkedDeque<>();
    private final ExecutorService workers = Executors.newFixedThreadPool(2);
    private final Receiver receiver;
    private final String from;
    private final HttpsServer server;

    Listener(int port, SSLContext context, Map<String, Object> entry, Receiver receiver) throws IOException {
        this.receiver = receiver;
        from = text(entry, "org");
        server = HttpsServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 0);
        server.setHttpsConfigurator(new HttpsConfigurator(context) {
            @Override
            public void configure(HttpsParameters parameters) {
                var tls = context.getDefaultSSLParameters();
                tls.setNeedClientAuth(true);
                tls.setProtocols(Tls.VERSIONS);
                tls.setCipherSuites(Tls.CIPHERS);
                parameters.setSSLParameters(tls);
            }
        });
        server.createContext("/", this::serve);
        server.setExecutor(workers);
        server.start();
    }

    void trouble(List<Object> what) {
        what.forEach(one -> trouble.add((String) one));
    }

    private void serve(HttpExchange exchange) throws IOException {
        try (exchange) {
            String path = exchange.getRequestURI().toString();
            var asked = ASKED.matcher(path);
            boolean post = exchange.getRequestMethod().equals("POST");
            if (asked.matches()) {
                String receipt = receiver.stored(asked.group(1));
                empty(exchange, exchange.getRequestMethod().equals("GET") ? receipt == null ? 404 : 200 : 405, receipt);
            } else if (!path.equals(Http.MESSAGES)) {
                empty(exchange, 404, null);
            } else if (!post) {
                empty(exchange, 405, null);
            } else {
                answer(exchange);
            }
        }
    }

    private void answer(HttpExchange exchange) throws IOException {
        try {
            byte[] body = body(exchange);
            boolean away = "unavailable".equals(trouble.peek());
            demand(!away, "unavailable", away ? trouble.poll() : "");
            String receipt = receiver.post(body, from);
            String met = trouble.poll();
            if (!"lost".equals(met)) {
                empty(exchange, 200, "forged".equals(met) ? forged(receipt) : receipt);
            }
        } catch (Refusal refusal) {
            int status = STATUS.get(refusal.code);
            byte[] problem = Json.ordered(Json.of("type", "urn:ecluse:problem:" + refusal.code, "title", refusal.code, "status", status));
            exchange.getResponseHeaders().set("Content-Type", "application/problem+json");
            if (status == 503) {
                exchange.getResponseHeaders().set("Retry-After", "1");
            }
            exchange.sendResponseHeaders(status, problem.length);
            exchange.getResponseBody().write(problem);
        }
    }

    /** Another character of the signature: still 64 bytes, of nobody. */
    private static String forged(String receipt) {
        int at = receipt.length() - 8;
        return receipt.substring(0, at) + (receipt.charAt(at) == 'A' ? 'B' : 'A') + receipt.substring(at + 1);
    }

    private static byte[] body(HttpExchange exchange) throws IOException {
        var fields = exchange.getRequestHeaders();
        String length = fields.getFirst("Content-Length");
        demand(length != null && length.matches("\\d{1,9}") && !fields.containsKey("Transfer-Encoding"), "length-required", "no length");
        demand(Http.BATCH.equals(fields.getFirst("Content-Type")) && !fields.containsKey("Content-Encoding"), "malformed", "another media type");
        demand(Integer.parseInt(length) <= MOST_BODY, "too-large", "a body too large");
        return exchange.getRequestBody().readNBytes(Integer.parseInt(length));
    }

    private static void empty(HttpExchange exchange, int status, String receipt) throws IOException {
        if (status != 200) {
            exchange.sendResponseHeaders(status, -1);
            return;
        }
        exchange.getResponseHeaders().set("Content-Type", Http.RECEIPT);
        exchange.sendResponseHeaders(200, receipt.length());
        exchange.getResponseBody().write(Bytes.ascii(receipt));
    }

    void close() {
        server.stop(0);
        workers.shutdownNow();
    }
}
