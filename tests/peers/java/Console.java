import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.net.URLDecoder;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/** Orders on standard input, answers and news on standard output: one line of form-encoded fields each. */
final class Console {
    /** Does what a line asks; what it returns is the answer. */
    interface Orders {
        Map<String, String> carryOut(String order, Map<String, String> fields) throws Exception;
    }

    private final PrintStream out =
            new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8);

    /** Take orders until standard input ends. Each has a thread, so that a long one holds up no other. */
    void take(Orders orders) throws IOException {
        ExecutorService threads = Executors.newCachedThreadPool();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            Map<String, String> fields = decode(line);
            threads.execute(() -> answer(orders, fields));
        }
        threads.shutdownNow();
    }

    /** Say something that nobody asked for. */
    void tell(String news, Map<String, String> fields) {
        Map<String, String> line = new LinkedHashMap<>();
        line.put("news", news);
        line.putAll(fields);
        print(line);
    }

    private void answer(Orders orders, Map<String, String> fields) {
        Map<String, String> line = new LinkedHashMap<>();
        line.put("id", fields.get("id"));
        try {
            line.putAll(orders.carryOut(fields.get("do"), fields));
        } catch (Exception error) {
            line.put("error", error.toString());
        }
        print(line);
    }

    private synchronized void print(Map<String, String> fields) {
        StringBuilder line = new StringBuilder();
        fields.forEach((name, value) -> {
            if (value != null) {
                line.append(line.length() == 0 ? "" : "&").append(encode(name)).append('=').append(encode(value));
            }
        });
        out.println(line);
    }

    private static String encode(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8);
    }

    private static Map<String, String> decode(String line) {
        Map<String, String> fields = new LinkedHashMap<>();
        for (String field : line.split("&")) {
            String[] parts = field.split("=", 2);
            fields.put(
                    URLDecoder.decode(parts[0], StandardCharsets.UTF_8),
                    URLDecoder.decode(parts[1], StandardCharsets.UTF_8));
        }
        return fields;
    }
}
