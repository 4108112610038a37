/* As span.c, in C++. */
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include <qemu-hypertrace.hpp>

static constexpr hypertrace::span_events<std::uint64_t> work{1, 2, "work"};

static double now()
{
    timespec time;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

int main(int argc, char **argv)
{
    const int blocks = argc > 1 ? std::atoi(argv[1]) : 300, spans = argc > 2 ? std::atoi(argv[2]) : 5000;
    hypertrace::channel channel;
    double best = 1e9;

    for (int block = 0; block < blocks; block++) {
        const double begin = now();

        for (int i = 0; i < spans; i++) {
            hypertrace::span span{work, static_cast<std::uint64_t>(i)};
        }
        const double each = (now() - begin) / spans;
        best = each < best ? each : best;
    }
    std::printf("%.2f\n", best);
}
