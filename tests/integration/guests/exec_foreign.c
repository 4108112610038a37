/*
 * Executes PROGRAM with very little stack. PROGRAM prints its arguments, and may be for another machine. argv[1] is
 * PROGRAM, argv[2] the number of arguments, and argv[3] the number of bytes of each argument.
 */
#define _GNU_SOURCE
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SMALL = 8192, AROUND = 4 << 20, SPAWNS = 5 };

extern char **environ;
static char **words;

static void await(pid_t child)
{
    int status;

    assert(child > 0);
    assert(waitpid(child, &status, 0) == child);
    printf("status %d\n", status);
    fflush(stdout);
}

static pid_t spawned(void)
{
    pid_t child;

    assert(posix_spawn(&child, words[0], NULL, NULL, words, environ) == 0);
    return child;
}

static int exec_words(void *unused)
{
    (void)unused;
    execve(words[0], words, environ);
    return 99;
}

/* A vfork child with a small stack in the middle of other data. */
static void from_a_small_stack(void)
{
    char *memory = mmap(NULL, 2 * AROUND, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    long i, changed = 0;

    assert(memory != MAP_FAILED);
    memset(memory, 0x5a, 2 * AROUND);
    await(clone(exec_words, memory + AROUND, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL));
    for (i = 0; i < 2 * AROUND; i++) {
        if (i < AROUND - SMALL || i >= AROUND) {
            changed += memory[i] != 0x5a;
        }
    }
    printf("changed %ld\n", changed);
}

/* The same, with nothing below the stack. */
static void above_a_guard(void)
{
    char *memory = mmap(NULL, 2 * SMALL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert(memory != MAP_FAILED && mprotect(memory, SMALL, PROT_NONE) == 0);
    await(clone(exec_words, memory + 2 * SMALL, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL));
}

static void *spawns(void *children)
{
    int i;

    for (i = 0; i < SPAWNS; i++) {
        ((pid_t *)children)[i] = spawned();
    }
    return NULL;
}

/* Two threads execute programs at the same time. */
static void side_by_side(void)
{
    pid_t children[2][SPAWNS];
    pthread_t other;
    int i;

    assert(pthread_create(&other, NULL, spawns, children[0]) == 0);
    spawns(children[1]);
    assert(pthread_join(other, NULL) == 0);
    for (i = 0; i < SPAWNS; i++) {
        await(children[0][i]);
        await(children[1][i]);
    }
}

/* Exec fails, since the emulator's arguments are too long. The program continues unchanged. */
static void too_much(void)
{
    size_t count = 40, i;
    char **many = calloc(count + 1, sizeof *many);

    many[0] = words[0];
    for (i = 1; i < count; i++) {
        many[i] = malloc(200000);
        memset(many[i], 'x', 199999);
        many[i][199999] = 0;
    }
    errno = 0;
    execve(many[0], many, environ);
    printf("too much: %s\n", strerror(errno));
    fflush(stdout);
}

int main(int argc, char **argv)
{
    size_t count, size, i;

    assert(argc == 4);
    count = strtoul(argv[2], NULL, 10);
    size = strtoul(argv[3], NULL, 10);
    words = calloc(count + 2, sizeof *words);
    words[0] = argv[1];
    for (i = 1; i <= count; i++) {
        words[i] = malloc(size + 1);
        memset(words[i], 'a' + (int)(i % 26), size);
        words[i][size] = 0;
    }
    await(spawned());
    from_a_small_stack();
    above_a_guard();
    side_by_side();
    too_much();
    exec_words(NULL);
    return 1;
}
