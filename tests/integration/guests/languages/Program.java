import hypertrace.Hypertrace;
import trace.Events;

/** Program: the events that the test expects. Program THREADS COUNT: emits COUNT spans and counters in each of THREADS
 * threads. */
public final class Program {
    private static void emit(long number, long count) {
        for (long i = 0; i < count / 2; i++) {
            try (Events.Job job = new Events.Job(number << 32 | i, 0.5, true)) {
                job.result = i;
            }
        }
    }

    public static void main(String[] words) throws InterruptedException {
        if (words.length > 1) {
            Thread[] threads = new Thread[Integer.parseInt(words[0])];
            for (int number = 0; number < threads.length; number++) {
                final long own = number;
                threads[number] = new Thread(() -> emit(own, Long.parseLong(words[1])));
                threads[number].start();
            }
            for (Thread thread : threads) {
                thread.join();
            }
            return;
        }
        Events.request(4096, 0x10, Events.RequestKind.WRITE);
        try (Events.Job job = new Events.Job(7, 0.25, true)) {
            Events.queue_depth(-3);
            job.result = -1;
        }
        Events.done();
        if (!Hypertrace.isOpen()) {
            System.exit(3);
        }
    }
}
