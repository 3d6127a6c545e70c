package oracle;

import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * Reads scenarios from the standard input, each ended by a line {@code end}, and answers each with
 * its result, ended in the same way. One process serves as many scenarios as it is given.
 */
public final class Main {
    public static void main(String[] args) throws IOException {
        var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        var out = new BufferedWriter(new OutputStreamWriter(System.out, StandardCharsets.UTF_8), 1 << 16);
        List<String> lines = new ArrayList<>();
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            if (!line.equals("end")) {
                lines.add(line);
                continue;
            }
            out.write(new Run(Scenario.parse(lines)).result());
            out.write("end\n");
            out.flush();
            lines.clear();
        }
    }
}
