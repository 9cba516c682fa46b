package org.ecluse.interop;

import static org.ecluse.interop.Refusal.demand;

import java.time.DateTimeException;
import java.time.Instant;
import java.time.LocalDate;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Predicate;
import java.util.regex.Pattern;

/** The forms of §2, and closed objects. */
final class Forms {
    static final Predicate<Object> TEXT = String.class::isInstance;
    static final Predicate<Object> OBJECT = Map.class::isInstance;
    static final Predicate<Object> BOOLEAN = Boolean.class::isInstance;
    static final Predicate<Object> ORG = text("[a-z]{3}\\.[a-z0-9]+(-[a-z0-9]+)*").and(value -> ((String) value).length() <= 48);
    static final Predicate<Object> UUID4 = text("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}");
    static final Predicate<Object> KID = text("[!#-\\[\\]-~]{1,128}");
    static final Predicate<Object> DIGEST = text("[0-9a-f]{64}");
    static final Predicate<Object> THUMBPRINT = text("[A-Za-z0-9_-]{43}");
    static final Predicate<Object> NAME = text("[A-Za-z0-9][A-Za-z0-9 +._:/-]{0,127}");
    static final Predicate<Object> NATION = text("[A-Z]{3}");
    static final Predicate<Object> LANGUAGE = text("[a-z]{2}");
    static final Predicate<Object> INSTANT_FORM = text("\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}Z");
    static final Predicate<Object> INSTANT = INSTANT_FORM.and(value -> exists(() -> instant(Instant.parse((String) value)).equals(value)));
    static final Predicate<Object> DAY = text("\\d{4}-\\d{2}-\\d{2}").and(value -> exists(() -> LocalDate.parse((String) value) != null));
    static final Predicate<Object> TERM_LIST = listOf(TEXT, 0, Integer.MAX_VALUE);

    private Forms() {}

    private interface Check {
        boolean holds();
    }

    private static boolean exists(Check check) {
        try {
            return check.holds();
        } catch (DateTimeException error) {
            return false;
        }
    }

    static String instant(Instant at) {
        return at.truncatedTo(ChronoUnit.SECONDS).toString();
    }

    static Predicate<Object> text(String pattern) {
        Pattern compiled = Pattern.compile(pattern);
        return value -> value instanceof String string && compiled.matcher(string).matches();
    }

    static Predicate<Object> among(Object... values) {
        Set<Object> known = Set.of(values);
        return value -> value != null && known.contains(value);
    }

    static Predicate<Object> count(long least) {
        return value -> value instanceof Long number && number >= least;
    }

    static Predicate<Object> range(long least, long most) {
        return value -> value instanceof Long number && number >= least && number <= most;
    }

    static Predicate<Object> characters(int least, int most) {
        return value -> value instanceof String string && string.codePointCount(0, string.length()) >= least && string.codePointCount(0, string.length()) <= most;
    }

    static Predicate<Object> listOf(Predicate<Object> form, int least, int most) {
        return value -> value instanceof List<?> items && items.size() >= least && items.size() <= most && items.stream().allMatch(form);
    }

    /** An object with these members and no other; those named in `optional` may be absent. */
    static Map<String, Object> closed(Object value, Map<String, Predicate<Object>> forms, String code, Set<String> optional) {
        demand(value instanceof Map, code, "not an object");
        Map<String, Object> object = Json.object(value);
        for (String name : object.keySet()) {
            demand(forms.containsKey(name), code, "an unknown member");
        }
        forms.forEach((name, form) -> {
            if (object.containsKey(name)) {
                demand(object.get(name) != null && form.test(object.get(name)), code, "the form of " + name);
            } else {
                demand(optional.contains(name), code, "without " + name);
            }
        });
        return object;
    }

    static Map<String, Object> closed(Object value, Map<String, Predicate<Object>> forms, String code) {
        return closed(value, forms, code, Set.of());
    }

    /** Whether the members stand in the order of `names`, as far as they are there. */
    static boolean sameOrder(Map<String, Object> object, Iterable<String> names) {
        List<String> expected = new ArrayList<>();
        names.forEach(name -> {
            if (object.containsKey(name)) {
                expected.add(name);
            }
        });
        return expected.equals(List.copyOf(object.keySet()));
    }

    @SafeVarargs
    @SuppressWarnings("varargs")
    static Map<String, Predicate<Object>> forms(Map.Entry<String, Predicate<Object>>... entries) {
        Map<String, Predicate<Object>> forms = new java.util.LinkedHashMap<>();
        for (var entry : entries) {
            forms.put(entry.getKey(), entry.getValue());
        }
        return forms;
    }

    static Map.Entry<String, Predicate<Object>> is(String name, Predicate<Object> form) {
        return Map.entry(name, form);
    }
}
