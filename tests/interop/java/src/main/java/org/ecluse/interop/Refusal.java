package org.ecluse.interop;

/** A message, POST or answer that is refused, with the code of §6 or §12. Its text never holds input. */
final class Refusal extends RuntimeException {
    private static final long serialVersionUID = 1L;
    final String code;
    final long expected; // of `out-of-order`; else 0

    Refusal(String code, String why) {
        this(code, why, 0);
    }

    Refusal(String code, String why, long expected) {
        super(code + ": " + why);
        this.code = code;
        this.expected = expected;
    }

    static void demand(boolean holds, String code, String why) {
        if (!holds) {
            throw new Refusal(code, why);
        }
    }

    static void demand(boolean holds, String why) {
        demand(holds, "malformed", why);
    }
}
