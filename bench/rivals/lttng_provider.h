/* The LTTng-UST tracepoint: four unsigned 64-bit integers. Included several times by LTTng's own macros. */
#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER htrun_bench

#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "./lttng_provider.h"

#if !defined(BENCH_LTTNG_PROVIDER_H) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define BENCH_LTTNG_PROVIDER_H

#include <lttng/tracepoint.h>
#include <stdint.h>

LTTNG_UST_TRACEPOINT_EVENT(htrun_bench, event,
    LTTNG_UST_TP_ARGS(uint64_t, arg1, uint64_t, arg2, uint64_t, arg3, uint64_t, arg4),
    LTTNG_UST_TP_FIELDS(
        lttng_ust_field_integer(uint64_t, arg1, arg1)
        lttng_ust_field_integer(uint64_t, arg2, arg2)
        lttng_ust_field_integer(uint64_t, arg3, arg3)
        lttng_ust_field_integer(uint64_t, arg4, arg4)))

#endif

#include <lttng/tracepoint-event.h>
