/*
 * hash() timed by Google Benchmark: google_benchmark BYTES CALLS TIMES [OPTION OF THE LIBRARY]...
 * CALLS calls are timed together, TIMES times.
 */
#include "../hash.h"

#include <benchmark/benchmark.h>

#include <cstdlib>
#include <vector>

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    const std::vector<unsigned char> data(std::strtoul(argv[1], nullptr, 10), 7);
    const auto calls = std::strtol(argv[2], nullptr, 10);
    const int times = std::atoi(argv[3]);
    uint64_t value = 1;
    benchmark::RegisterBenchmark("hash", [&](benchmark::State &state) {
        for (auto _ : state) {
            value = hash(data.data(), data.size(), value);
            benchmark::DoNotOptimize(value);
        }
    })->Iterations(calls)->Repetitions(times);
    argv[3] = argv[0];
    int options = argc - 3;
    benchmark::Initialize(&options, argv + 3);
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
