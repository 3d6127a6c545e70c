package oracle;

import java.nio.charset.StandardCharsets;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.Headers;

/** Bytes as text: printable ASCII as it is, others as {@code \xNN}; {@code -} is null. */
final class Bytes {
    static String show(byte[] bytes) {
        if (bytes == null) return "-";
        if (bytes.length == 0) return "''";
        StringBuilder text = new StringBuilder();
        for (byte b : bytes) {
            boolean plain = b > ' ' && b < 127 && b != '\\' && !(bytes.length == 1 && b == '-');
            if (plain) text.append((char) b);
            else text.append(String.format("\\x%02x", b));
        }
        return text.toString();
    }

    static String show(String text) {
        return show(text.getBytes(StandardCharsets.UTF_8));
    }

    static String show(Headers headers) {
        StringBuilder text = new StringBuilder();
        for (Header header : headers) {
            text.append(text.length() == 0 ? " " : ",").append(header.key()).append(':').append(show(header.value()));
        }
        return text.toString();
    }
}
