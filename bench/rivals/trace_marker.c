/* Each event is a write of 48 bytes to ftrace's trace_marker_raw or trace_marker, the file named by TRACE_MARKER. */
#include <fcntl.h>
#include <unistd.h>

#include "../measure.h"
#include "../record.h"

static void emitter_open(struct worker *worker)
{
    static int file;
    const char *path = getenv("TRACE_MARKER");
    file = path ? open(path, O_WRONLY) : -1;
    if (file < 0)
        die("TRACE_MARKER");
    worker->own = &file;
}

static void emit_events(struct worker *worker, uint64_t count)
{
    int file = *(int *)worker->own;
    for (uint64_t i = 0; i < count; i++) {
        struct record record = {tick(), worker->number, {i, i + 1, i + 2, i + 3}};
        if (write(file, &record, sizeof record) != sizeof record)
            die("write");
    }
}

int main(int argc, char **argv)
{
    return measure_main(argc, argv);
}
