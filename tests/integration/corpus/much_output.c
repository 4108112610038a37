// Four megabytes through a pipe to a child and one to standard output, all bytes in order, in blocks of odd sizes.
// build: m32
#include "subject.h"

static void pump(int output, long total)
{
    char block[7919];
    for (long sent = 0; sent < total;) {
        long size = total - sent < (long)sizeof block ? total - sent : (long)sizeof block;
        for (long i = 0; i < size; i++)
            block[i] = (char)('a' + (sent + i) % 23);
        ssize_t written = MUST(write(output, block, (size_t)size));
        sent += written;
    }
}

int main(void)
{
    int ends[2];
    MUST(pipe(ends));
    pid_t child = MUST(fork());
    if (child == 0) {
        close(ends[1]);
        unsigned sum = 0;
        long count = 0;
        char block[65536];
        for (ssize_t got; (got = MUST(read(ends[0], block, sizeof block))) > 0; count += got)
            for (ssize_t i = 0; i < got; i++)
                sum = sum * 31 + (unsigned char)block[i];
        say("%ld bytes, sum %u", count, sum);
        _exit(0);
    }
    close(ends[0]);
    pump(ends[1], 4 << 20);
    close(ends[1]);
    say("%s", reaped(child));
    mark();
    pump(1, 1 << 20);
    return 0;
}
