package org.ecluse.interop;

import static org.ecluse.interop.Refusal.demand;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * JSON as §2 narrows it: objects are maps in the order read, numbers are Long. A reader parses, renders again and compares: so this
 * parser need not know every way to misspell.
 */
final class Json {
    private static final int NESTING = 32;
    private static final long LARGEST = (1L << 53) - 1;

    private final String text;
    private int at;
    private boolean spaces; // allowed between tokens

    private Json(String text) {
        this.text = text;
    }

    /** What the bytes say, when they are the one rendering of it, members in any order. */
    static Object exact(byte[] bytes) {
        try {
            String text = StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString();
            Json reader = new Json(text);
            Object value = reader.value(0);
            demand(reader.at == text.length(), "a second value");
            demand(Arrays.equals(ordered(value), bytes), "another spelling");
            return value;
        } catch (CharacterCodingException | StringIndexOutOfBoundsException | NumberFormatException error) {
            throw new Refusal("malformed", "not JSON");
        }
    }

    /** What a file for people says, white space between its tokens and all. */
    static Object lenient(String text) {
        Json reader = new Json(text);
        reader.spaces = true;
        reader.skip();
        return reader.value(0);
    }

    static Object canonicalExact(byte[] bytes) {
        Object value = exact(bytes);
        demand(Arrays.equals(canonical(value), bytes), "not canonical");
        return value;
    }

    /** Members in the order they stand in. */
    static byte[] ordered(Object value) {
        var out = new StringBuilder();
        render(value, out);
        return out.toString().getBytes(StandardCharsets.UTF_8);
    }

    /** RFC 8785: members sorted by UTF-16 code units, as String compares. */
    static byte[] canonical(Object value) {
        return ordered(sorted(value));
    }

    @SuppressWarnings("unchecked")
    static Map<String, Object> object(Object value) {
        demand(value instanceof Map, "not an object");
        return (Map<String, Object>) value;
    }

    @SuppressWarnings("unchecked")
    static List<Object> list(Object value) {
        demand(value instanceof List, "not a list");
        return (List<Object>) value;
    }

    static String text(Map<String, Object> object, String name) {
        return (String) object.get(name);
    }

    static long number(Map<String, Object> object, String name) {
        return (Long) object.get(name);
    }

    /** Names and values in turn. */
    static Map<String, Object> of(Object... pairs) {
        Map<String, Object> object = new LinkedHashMap<>();
        for (int i = 0; i < pairs.length; i += 2) {
            object.put((String) pairs[i], pairs[i + 1]);
        }
        return object;
    }

    static Map<String, Object> with(Map<String, Object> object, Object... pairs) {
        return with(object, of(pairs));
    }

    static Map<String, Object> with(Map<String, Object> object, Map<String, Object> more) {
        Map<String, Object> other = new LinkedHashMap<>(object);
        other.putAll(more);
        return other;
    }

    private static Object sorted(Object value) {
        if (value instanceof List<?> items) {
            return items.stream().map(Json::sorted).toList();
        }
        if (value instanceof Map) {
            Map<String, Object> members = new TreeMap<>();
            object(value).forEach((name, item) -> members.put(name, sorted(item)));
            return members;
        }
        return value;
    }

    // --- writing ---

    private static void render(Object value, StringBuilder out) {
        if (value instanceof String string) {
            quote(string, out);
        } else if (value instanceof List<?> items) {
            String comma = "[";
            for (Object item : items) {
                out.append(comma);
                render(item, out);
                comma = ",";
            }
            out.append(items.isEmpty() ? "[]" : "]");
        } else if (value instanceof Map<?, ?> members) {
            String comma = "{";
            for (var member : members.entrySet()) {
                out.append(comma);
                quote((String) member.getKey(), out);
                out.append(':');
                render(member.getValue(), out);
                comma = ",";
            }
            out.append(members.isEmpty() ? "{}" : "}");
        } else {
            out.append(value); // null, Boolean, Long or Integer
        }
    }

    private static void quote(String string, StringBuilder out) {
        out.append('"');
        for (char c : string.toCharArray()) {
            int named = "\"\\\b\t\n\f\r".indexOf(c);
            if (named >= 0) {
                out.append('\\').append("\"\\btnfr".charAt(named));
            } else if (c < 0x20) {
                out.append(String.format("\\u%04x", (int) c));
            } else {
                out.append(c);
            }
        }
        out.append('"');
    }

    // --- reading ---

    private void skip() {
        while (spaces && at < text.length() && " \n\r\t".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
    }

    private char next() {
        skip();
        char c = text.charAt(at++);
        skip();
        return c;
    }

    private Object value(int depth) {
        char c = text.charAt(at);
        if (c == '{' || c == '[') {
            demand(depth < NESTING, "too deeply nested");
            next();
            return c == '{' ? members(depth) : items(depth);
        }
        if (c == '"') {
            return string();
        }
        for (var word : Map.of("true", Boolean.TRUE, "false", Boolean.FALSE).entrySet()) {
            if (text.startsWith(word.getKey(), at)) {
                at += word.getKey().length();
                return word.getValue();
            }
        }
        if (text.startsWith("null", at)) {
            at += 4;
            return null;
        }
        return integer();
    }

    private Map<String, Object> members(int depth) {
        Map<String, Object> members = new LinkedHashMap<>();
        if (text.charAt(at) == '}') {
            at++;
            return members;
        }
        char c;
        do {
            demand(text.charAt(at) == '"', "no member name");
            String name = string();
            demand(next() == ':', "no colon");
            demand(!members.containsKey(name), "a member twice");
            members.put(name, value(depth + 1));
        } while ((c = next()) == ',');
        demand(c == '}', "an object without end");
        return members;
    }

    private List<Object> items(int depth) {
        List<Object> items = new ArrayList<>();
        if (text.charAt(at) == ']') {
            at++;
            return items;
        }
        char c;
        do {
            items.add(value(depth + 1));
        } while ((c = next()) == ',');
        demand(c == ']', "a list without end");
        return items;
    }

    private String string() {
        var out = new StringBuilder();
        for (at++; text.charAt(at) != '"'; at++) {
            char c = text.charAt(at);
            if (c == '\\') {
                char escape = text.charAt(++at);
                int named = "\"\\/btnfr".indexOf(escape);
                demand(named >= 0 || escape == 'u', "an unknown escape");
                if (named >= 0) {
                    c = "\"\\/\b\t\n\f\r".charAt(named);
                } else {
                    c = (char) Integer.parseInt(text.substring(at + 1, at + 5), 16);
                    at += 4;
                }
            }
            out.append(c);
        }
        at++;
        String string = out.toString();
        demand(StandardCharsets.UTF_8.newEncoder().canEncode(string), "a lone surrogate");
        return string;
    }

    private Long integer() {
        int begin = at;
        while (at < text.length() && "-0123456789".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
        long number = Long.parseLong(text.substring(begin, at));
        demand(Math.abs(number) <= LARGEST, "a number out of range");
        return number;
    }
}
