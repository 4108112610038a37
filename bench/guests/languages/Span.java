import hypertrace.Hypertrace;

/** As span.c, in Java. The time is that of a clock on the wall: the best block was not interrupted. */
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
                // Nothing is timed but the span itself.
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
