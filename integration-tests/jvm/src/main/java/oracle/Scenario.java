package oracle;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** A scenario as it was written; see integration-tests/scenarios/README.md. */
final class Scenario {
    final Map<String, String> options = new LinkedHashMap<>();
    final List<Op> ops = new ArrayList<>();
    final List<Step> steps = new ArrayList<>();

    /** One operator: {@code id = call parent.. name=value..}; without an id where it ends a branch. */
    record Op(String id, String call, List<String> parents, Map<String, String> p) {
        String get(String name) {
            return p.get(name);
        }

        String need(String name) {
            String value = p.get(name);
            if (value == null) throw new IllegalArgumentException(call + " needs " + name + "=");
            return value;
        }

        long number(String name) {
            return Long.parseLong(need(name));
        }

        boolean yes(String name) {
            return "yes".equals(p.get(name));
        }
    }

    /** A record, or (without a topic) an advance of the wall clock. */
    record Step(String topic, String key, String value, long at, String headers) { }

    static Scenario parse(List<String> lines) {
        Scenario scenario = new Scenario();
        for (String line : lines) {
            String[] words = line.trim().split(" +");
            switch (words[0]) {
                case "", "scenario" -> { }
                case "option" -> scenario.options.putAll(params(words, 1));
                case ">" -> {
                    Map<String, String> p = params(words, 2);
                    scenario.steps.add(new Step(words[1], text(p.get("key")), text(p.get("value")),
                        Long.parseLong(p.get("at")), p.getOrDefault("headers", "")));
                }
                case "wall" -> scenario.steps.add(new Step(null, null, null, Long.parseLong(words[1]), ""));
                default -> {
                    if (!words[0].startsWith("#")) scenario.ops.add(op(words));
                }
            }
        }
        return scenario;
    }

    private static Op op(String[] words) {
        int at = words.length > 1 && words[1].equals("=") ? 2 : 0;
        List<String> parents = new ArrayList<>();
        int next = at + 1;
        while (next < words.length && !words[next].contains("=")) parents.add(words[next++]);
        return new Op(at == 2 ? words[0] : null, words[at], parents, params(words, next));
    }

    private static Map<String, String> params(String[] words, int from) {
        Map<String, String> params = new LinkedHashMap<>();
        Arrays.stream(words).skip(from).forEach(word -> {
            int at = word.indexOf('=');
            params.put(word.substring(0, at), word.substring(at + 1));
        });
        return params;
    }

    /** {@code -} is null and {@code ''} is empty. */
    static String text(String word) {
        return word == null || word.equals("-") ? null : word.equals("''") ? "" : word;
    }
}
