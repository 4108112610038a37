/*
 * Emits events on command.
 *
 *     property_live COUNTER
 *
 * Reads commands from standard input, one byte each: "e" emits one event (its number, CLOCK_REALTIME in nanoseconds)
 * and answers "e" on standard output; "f" emits forever, as fast as possible. At the end of its input, the program
 * exits. COUNTER is a file of 8 bytes that always contains the number of emitted events.
 */

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <qemu-hypertrace.h>

static volatile uint64_t *counter;

static void emit(uint64_t *data)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    data[0] = *counter;
    data[1] = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    qemu_hypertrace(0);
    ++*counter;
}

int main(int argc, char **argv)
{
    char command;
    if (argc != 2 || qemu_hypertrace_init(NULL) != 0)
        return 2;
    int file = open(argv[1], O_RDWR | O_CREAT, 0600);
    if (file < 0 || ftruncate(file, sizeof *counter) != 0)
        return 3;
    counter = mmap(NULL, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (counter == MAP_FAILED)
        return 3;
    uint64_t *data = qemu_hypertrace_data(0);
    while (read(STDIN_FILENO, &command, 1) == 1) {
        do
            emit(data);
        while (command == 'f');
        if (write(STDOUT_FILENO, &command, 1) != 1)
            return 4;
    }
    return 0;
}
