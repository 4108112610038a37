/*
 * A guest that attacks htrun's memory in its address space, while a second process emits undisturbed.
 *
 *     property_scribble HOW EVENTS
 *
 * rings: writes random words and bytes into the control block and the packets of its own ring, between events.
 * trampolines: tries to write to them, directly and after mprotect(PROT_WRITE).
 * Its child, which is created before the first event, emits EVENTS events with the arguments number, ~number. Prints
 * "child TID".
 */

#define _GNU_SOURCE
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <qemu-hypertrace.h>

static uint64_t events;
static sigjmp_buf landing;

static void emit(uint64_t count, uint64_t index, bool own)
{
    uint64_t *data = qemu_hypertrace_data(index);
    for (uint64_t number = 0; number < count; number++) {
        data[0] = number;
        data[1] = ~number;
        data[2] = own;
        qemu_hypertrace(index);
    }
}

/* The first mapping of that name with these permissions. */
static bool find(const char *name, const char *permissions, char **start, size_t *size)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    bool found = false;
    while (!found && fgets(line, sizeof line, maps) != NULL) {
        unsigned long low, high;
        char access[5];
        if (sscanf(line, "%lx-%lx %4s", &low, &high, access) == 3 && strstr(line, name) != NULL &&
            strcmp(access, permissions) == 0) {
            *start = (char *)low;
            *size = high - low;
            found = true;
        }
    }
    fclose(maps);
    return found;
}

static uint64_t random_word(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

/* Overwrites the whole first ring of the pool. It belongs to this process, which was the first to emit. */
static void scribble(char *rings, uint64_t seed)
{
    uint64_t state = seed;
    volatile uint64_t *control = (uint64_t *)rings;
    for (int turn = 0; turn < 200000; turn++) {
        uint64_t word = random_word(&state);
        switch (turn % 4) {
        case 0: control[word % 11] = random_word(&state); break;
        case 1: control[word % 11] = (uintptr_t)rings + random_word(&state) % (1 << 17); break;
        case 2: control[word % 11] = word % 64; break;
        default: ((volatile uint8_t *)control)[4096 + random_word(&state) % 60000] = (uint8_t)word;
        }
    }
}

static void on_fault(int number)
{
    (void)number;
    siglongjmp(landing, 1);
}

static const char *try_to_write(char *at)
{
    if (sigsetjmp(landing, 1) != 0)
        return "refused";
    *(volatile uint64_t *)at = 0x1122334455667788;
    return "written";
}

int main(int argc, char **argv)
{
    if (argc != 3 || qemu_hypertrace_init(NULL) != 0)
        return 2;
    events = strtoull(argv[2], NULL, 0);
    int go[2];
    if (pipe(go) != 0)
        return 3;
    pid_t child = fork();
    if (child == 0) {
        char byte;
        close(go[1]);
        /* The parent's rings come first in the pool. */
        if (read(go[0], &byte, 1) != 1)
            _exit(1);
        emit(events, 2, true);
        _exit(0);
    }
    emit(1000, 0, false);
    char *rings, *code;
    size_t rings_size, code_size;
    if (!find("htrun-rings", "rw-s", &rings, &rings_size) || !find("htrun-trampolines", "r-xs", &code, &code_size))
        return 4;
    int status;
    if (strcmp(argv[1], "rings") == 0) {
        if (write(go[1], "x", 1) != 1)
            return 5;
        for (uint64_t seed = 1; seed < 12; seed++) {
            scribble(rings, seed * UINT64_C(0x9e3779b97f4a7c15));
            emit(20, 0, false);
        }
    } else {
        struct sigaction action = {.sa_handler = on_fault, .sa_flags = SA_NODEFER};
        sigaction(SIGSEGV, &action, NULL);
        printf("store: %s\n", try_to_write(code));
        printf("mprotect: %s\n", mprotect(code, 4096, PROT_READ | PROT_WRITE) == 0 ? "allowed" : strerror(errno));
        printf("store: %s\n", try_to_write(code));
        fflush(stdout);
        if (write(go[1], "x", 1) != 1)
            return 5;
        emit(1000, 0, false);
    }
    if (waitpid(child, &status, 0) < 0 || status != 0)
        return 6;
    printf("child %d\n", child);
    return 0;
}
