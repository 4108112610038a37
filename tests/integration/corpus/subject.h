/*
 * The common code of the programs of the corpus: unbuffered output, checked calls, and words for wait statuses.
 *
 * A program prints only values that are the same in every run: no ids, addresses or times. mark() emits one event if
 * the program is built with emission.h, and does nothing otherwise.
 */
#ifndef SUBJECT_H
#define SUBJECT_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef SUBJECT_EMITS
static inline void mark(void)
{
}
#endif

/* Writes one line to standard output immediately, so that the order of lines is the order of events. */
__attribute__((format(printf, 1, 2), unused)) static void say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char line[1024];
    int length = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    line[length++] = '\n';
    if (write(STDOUT_FILENO, line, (size_t)length) != length)
        _exit(98);
}

/* The result of a call that must not be -1; otherwise the program exits with status 99. */
#define MUST(call)                                                                                          \
    ({                                                                                                      \
        __typeof__(call) must_value_ = (call);                                                                  \
        if ((long)must_value_ == -1L) {                                                                     \
            dprintf(STDERR_FILENO, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, strerror(errno));          \
            _exit(99);                                                                                      \
        }                                                                                                   \
        must_value_;                                                                                        \
    })

/* The pthread_ calls return the error number. */
#define MUST0(call)                                                                                         \
    do {                                                                                                    \
        int must_error_ = (call);                                                                           \
        if (must_error_ != 0) {                                                                             \
            dprintf(STDERR_FILENO, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, strerror(must_error_));    \
            _exit(99);                                                                                      \
        }                                                                                                   \
    } while (0)

__attribute__((unused)) static const char *described(int status)
{
    static __thread char text[64];
    if (WIFEXITED(status))
        snprintf(text, sizeof text, "exit %d", WEXITSTATUS(status));
    else if (WIFSIGNALED(status))
        snprintf(text, sizeof text, "killed by %d%s", WTERMSIG(status), WCOREDUMP(status) ? " with core" : "");
    else if (WIFSTOPPED(status))
        snprintf(text, sizeof text, "stopped by %d", WSTOPSIG(status));
    else if (WIFCONTINUED(status))
        snprintf(text, sizeof text, "continued");
    else
        snprintf(text, sizeof text, "status %#x", status);
    return text;
}

/* Reaps one child and prints how it has ended. */
__attribute__((unused)) static const char *reaped(pid_t child)
{
    int status;
    MUST(waitpid(child, &status, 0));
    return described(status);
}

/* A store to an unmapped address. The compiler does not know the address. */
__attribute__((unused)) static void fault_at(uintptr_t address)
{
    __asm__ volatile("" : "+r"(address));
    *(volatile int *)address = 1;
}

__attribute__((unused)) static void on_signal(int number, void (*handler)(int), int flags)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    action.sa_flags = flags;
    MUST(sigaction(number, &action, NULL));
}

__attribute__((unused)) static void on_siginfo(int number, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = handler;
    action.sa_flags = flags | SA_SIGINFO;
    MUST(sigaction(number, &action, NULL));
}

__attribute__((unused)) static sigset_t set_of(int number)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    return set;
}

/* Blocks or unblocks (SIG_BLOCK, SIG_UNBLOCK) one signal in this thread. */
__attribute__((unused)) static void mask(int how, int number)
{
    sigset_t set = set_of(number);
    MUST0(pthread_sigmask(how, &set, NULL));
}

/* Exits with status 95 if the child has exited. Threads that are not children of this process are not checked. */
__attribute__((unused)) static void must_live(pid_t child)
{
    siginfo_t ended;
    memset(&ended, 0, sizeof ended);
    if (waitid(P_PID, (id_t)child, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid == child) {
        dprintf(STDERR_FILENO, "%s: process %d has ended, and should have waited\n", __FILE__, child);
        _exit(95);
    }
}

/* Waits until the thread sleeps in the system call, as shown in /proc. */
__attribute__((unused)) static void await_blocked(pid_t thread, long call)
{
    char path[64], text[64];
    snprintf(path, sizeof path, "/proc/%d/syscall", thread);
    for (;;) {
        int file = MUST(open(path, O_RDONLY | O_CLOEXEC));
        ssize_t length = MUST(read(file, text, sizeof text - 1));
        close(file);
        text[length] = 0;
        long now = strtol(text, NULL, 10);
        /* A call that was woken for a tracer may be waiting again in a different call, restart_syscall. */
        if (text[0] != 'r' && (now == call || now == SYS_restart_syscall))
            return;
        if (now == -1)
            must_live(thread);
        sched_yield();
    }
}

/* Waits until the leader of a process with other threads has exited. No system call waits for this. */
__attribute__((unused)) static void await_leader_gone(pid_t process)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", process);
    for (;;) {
        int file = MUST(open(path, O_RDONLY | O_CLOEXEC));
        ssize_t length = MUST(read(file, text, sizeof text - 1));
        close(file);
        text[length] = 0;
        if (strstr(text, ") Z ") != NULL)
            return;
        sched_yield();
    }
}

/* Waits until no process has the pipe open for writing. */
__attribute__((unused)) static void await_end(int pipe_end)
{
    char byte;
    while (read(pipe_end, &byte, 1) > 0 || errno == EINTR)
        errno = 0;
}

__attribute__((unused)) static void post(int pipe_end)
{
    if (write(pipe_end, "x", 1) != 1)
        _exit(97);
}

__attribute__((unused)) static void await_post(int pipe_end)
{
    char byte;
    ssize_t got;
    do
        got = read(pipe_end, &byte, 1);
    while (got == -1 && errno == EINTR);
    if (got != 1)
        _exit(96);
}

__attribute__((unused)) static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

__attribute__((unused)) static int syscall_clock_nanosleep(void)
{
#ifdef SYS_clock_nanosleep_time64
    return SYS_clock_nanosleep_time64;
#else
    return SYS_clock_nanosleep;
#endif
}

#endif
