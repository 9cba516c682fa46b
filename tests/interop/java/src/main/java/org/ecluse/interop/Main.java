package org.ecluse.interop;

import static org.ecluse.interop.Json.text;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.bouncycastle.operator.OperatorCreationException;

/** One command a line on standard input, one answer a line on standard output: see ../README.md. */
public final class Main {
    private static final Map<String, Partner> PARTNERS = new HashMap<>();

    private Main() {}

    /** Runs until the input ends. */
    public static void main(String[] arguments) throws IOException {
        System.setProperty("jdk.tls.namedGroups", "x25519, secp256r1, secp384r1");
        System.setProperty("jdk.tls.server.enableSessionTicketExtension", "false");
        var input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            System.out.write(Bytes.concat(Json.ordered(answer(line)), Bytes.ascii("\n")));
            System.out.flush();
        }
        for (Partner partner : PARTNERS.values()) {
            partner.close();
        }
    }

    private static Map<String, Object> answer(String line) {
        try {
            return Json.with(Json.of("ok", true), perform(Json.object(Json.lenient(line))));
        } catch (Refusal refusal) {
            return Json.of("ok", false, "error", refusal.getMessage());
        } catch (IOException | GeneralSecurityException | OperatorCreationException | RuntimeException error) {
            var trace = new StringWriter();
            error.printStackTrace(new PrintWriter(trace));
            return Json.of("ok", false, "error", trace.toString());
        }
    }

    private static Map<String, Object> perform(Map<String, Object> command) throws IOException, GeneralSecurityException, OperatorCreationException {
        String name = text(command, "do");
        if (name.equals("found")) {
            PARTNERS.put(text(command, "org"), new Partner(command));
        }
        Partner partner = PARTNERS.get(text(command, "org"));
        return switch (name) {
            case "found" -> Json.of("requests", partner.requests());
            case "entry" -> Json.of("sha256", partner.describe((int) Json.number(command, "port")));
            case "agree" -> {
                partner.agree(command.get("terms"));
                yield Json.of();
            }
            case "begin" -> {
                partner.begin();
                yield Json.of("suite", partner.suite(), "profile", partner.profile());
            }
            case "knock" -> Sending.knock(partner);
            case "single" -> Sending.single(partner);
            case "duplicate" -> Sending.duplicate(partner);
            case "batch" -> Sending.batch(partner, Json.number(command, "count"));
            case "order" -> Sending.order(partner);
            case "recall" -> Sending.recall(partner);
            case "messages" -> Hostile.messages(partner);
            case "posts" -> Hostile.posts(partner);
            case "tls" -> Hostile.tls(partner);
            case "script" -> {
                partner.receiver.refuseNext(Json.list(command.getOrDefault("refuse", List.of())));
                partner.listener.trouble(Json.list(command.getOrDefault("trouble", List.of())));
                yield Json.of();
            }
            case "received" -> Json.of("items", partner.receiver.received(), "alarms", (long) partner.log.alarms());
            case "vectors" -> Vectors.run(Path.of(text(command, "folder")));
            case "end" -> {
                partner.close();
                PARTNERS.remove(partner.org);
                yield Json.of();
            }
            default -> throw new Refusal("unexpected", "an unknown command");
        };
    }
}
