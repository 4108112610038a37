#include "events.hpp"

#include <cstdlib>
#include <thread>
#include <vector>

/* program: the events that the test expects. program THREADS COUNT: as many spans and counters. */
int main(int argc, char **argv)
{
    hypertrace::channel channel;

    if (argc > 2) {
        const long count = std::atol(argv[2]);
        std::vector<std::thread> threads;

        for (long number = 0; number < std::atol(argv[1]); number++) {
            threads.emplace_back([number, count] {
                for (long i = 0; i < count / 2; i++) {
                    trace::job job(static_cast<std::uint64_t>(number << 32 | i), 0.5, true);
                    job.result = i;
                }
            });
        }
        for (std::thread &thread : threads) {
            thread.join();
        }
        return 0;
    }
    trace::request(4096, 0x10, trace::request_kind::WRITE);
    {
        trace::job job(7, 0.25, true);

        trace::queue_depth(-3);
        job.result = -1;
    }
    trace::done();
    return channel ? 0 : 3;
}
