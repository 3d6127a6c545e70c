package oracle;

import java.util.Locale;
import org.apache.kafka.streams.kstream.Windowed;

/**
 * A function of texts: what it begins with, then steps, divided by {@code |}. Null stays null in
 * each step but {@code or}.
 */
final class Expr {
    /** Results are cut to their last so many characters. */
    private static final int LONGEST = 24;

    /** What an expression is where it is used. */
    interface Of {
        String of(Object key, Object a, Object b);
    }

    private final String start;
    private final String[][] steps;

    Expr(String text) {
        String[] parts = text.split("\\|");
        start = parts[0];
        steps = new String[parts.length - 1][];
        for (int n = 1; n < parts.length; n++) steps[n - 1] = parts[n].split(":", 2);
    }

    /** With the key, the first operand (aggregate, left side), and the second (value, right side). */
    String of(Object key, Object a, Object b) {
        String text = cut(start(text(key), text(a), text(b)));
        for (String[] step : steps) text = cut(step(step[0], step.length > 1 ? step[1] : "", text));
        return text;
    }

    /** The same, where the result must not be null. */
    String some(Object key, Object a, Object b) {
        return show(of(key, a, b));
    }

    boolean holds(Object key, Object value) {
        return "t".equals(of(key, null, value));
    }

    private String start(String key, String a, String b) {
        switch (start) {
            case "k": return key;
            case "a": return a;
            case "b", "v": return b;
            case "max": return a == null ? b : b == null ? a : a.compareTo(b) >= 0 ? a : b;
            case "min": return a == null ? b : b == null ? a : a.compareTo(b) <= 0 ? a : b;
            default:
        }
        StringBuilder text = new StringBuilder();
        for (char c : start.toCharArray()) {
            switch (c) {
                case 'k' -> text.append(show(key));
                case 'a' -> text.append(show(a));
                case 'b', 'v' -> text.append(show(b));
                default -> text.append(c);
            }
        }
        return text.toString();
    }

    private static String step(String name, String argument, String text) {
        if (text == null) return name.equals("or") ? argument : null;
        return switch (name) {
            case "or" -> text;
            case "upper" -> text.toUpperCase(Locale.ROOT);
            case "lower" -> text.toLowerCase(Locale.ROOT);
            case "len" -> Integer.toString(text.length());
            case "first" -> text.isEmpty() ? text : text.substring(0, 1);
            case "last" -> text.isEmpty() ? text : text.substring(text.length() - 1);
            case "rev" -> new StringBuilder(text).reverse().toString();
            case "add" -> text + argument;
            case "mod" -> Integer.toString(sum(text) % Integer.parseInt(argument));
            case "null_if" -> text.contains(argument) ? null : text;
            case "has" -> text.contains(argument) ? "t" : "f";
            case "is" -> text.equals(argument) ? "t" : "f";
            case "lt" -> text.compareTo(argument) < 0 ? "t" : "f";
            case "odd" -> sum(text) % 2 == 1 ? "t" : "f";
            default -> throw new IllegalArgumentException("no function " + name);
        };
    }

    private static int sum(String text) {
        return text.chars().sum();
    }

    private static String cut(String text) {
        return text == null || text.length() <= LONGEST ? text : text.substring(text.length() - LONGEST);
    }

    static String show(String text) {
        return text == null ? "-" : text;
    }

    static String text(Object value) {
        if (value instanceof Windowed<?> w) return w.key() + "@" + w.window().start() + "/" + w.window().end();
        return value == null ? null : value.toString();
    }
}
