import hypertrace.Hypertrace;

/** As span.c, in Java. The time is wall time. The best block was not interrupted, so its wall time is its processor
 * time. */
public final class Span implements AutoCloseable {
    private Span(long size) {
        Hypertrace.emit(1, size);
    }

    @Override
    public void close() {
        Hypertrace.emit(2);
    }

    private static double measure(int spans) {
        long begin = System.nanoTime();
        for (int i = 0; i < spans; i++) {
            try (Span span = new Span(i)) {
                // Only the span itself is timed.
            }
        }
        return (double) (System.nanoTime() - begin) / spans;
    }

    public static void main(String[] words) {
        double best = Double.MAX_VALUE;
        for (int block = 0; block < Integer.parseInt(words[0]); block++) {
            best = Math.min(best, measure(Integer.parseInt(words[1])));
        }
        System.out.println(best);
    }
}
