/*
 * A minimal tracer that catches each store of a child at a ptrace stop. It takes the steps that htrun must take for a
 * trap: wait, read the signal's facts, read the registers, copy the arguments from the shared slot, take a time stamp,
 * write a record, skip the instruction, continue the child. It does not decode the store, so no tracer that uses ptrace
 * can cost less.
 *
 * own_cpu=N is the tracer's processor, cpu=N the tracee's.
 */
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "trapping_store.h"

static void emitter_open(struct worker *worker)
{
    (void)worker;
}

static void emit_events(struct worker *worker, uint64_t count)
{
    (void)worker;
    for (uint64_t i = 0; i < count; i++)
        trapping_store(i);
}

static void request(int what, pid_t pid, void *data)
{
    if (ptrace(what, pid, NULL, data) != 0)
        die("ptrace");
}

/* Records the store that `pid` stopped at and steps over it. False: this SIGSEGV is not such a store. */
static int record_store(pid_t pid, struct ring *ring)
{
    siginfo_t info;
    struct user_regs_struct registers;
    request(PTRACE_GETSIGINFO, pid, &info);
    char *fault = info.si_addr;
    if (info.si_code != SEGV_ACCERR || fault < control || fault >= control + PAGE)
        return 0;
    request(PTRACE_GETREGS, pid, &registers);
    struct record *record = &ring->records[ring->next];
    record->timestamp = tick();
    record->index = (uint32_t)registers.rax;
    for (int i = 0; i < NUM_ARGS; i++)
        record->args[i] = slot[i];
    ring->next = next_record(ring->next);
    registers.rip += STORE_LENGTH;
    request(PTRACE_SETREGS, pid, &registers);
    return 1;
}

static int trace(pid_t pid, struct ring *ring)
{
    for (;;) {
        int status;
        if (waitpid(pid, &status, __WALL) != pid)
            die("waitpid");
        if (!WIFSTOPPED(status))
            return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
        /* With PTRACE_SEIZE, bits above the signal mark an event stop; nothing is delivered then. */
        int event_stop = status >> 16 != 0;
        int signal = event_stop ? 0 : WSTOPSIG(status);
        if (signal == SIGSEGV && record_store(pid, ring))
            signal = 0;
        request(PTRACE_CONT, pid, (void *)(intptr_t)signal);
    }
}

int main(int argc, char **argv)
{
    struct plan plan = measure_plan(argc, argv);
    int gate[2];
    trapping_store_open();
    if (pipe(gate) != 0)
        die("pipe");
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0) {
        char byte;
        if (read(gate[0], &byte, 1) != 1)
            die("read");
        measure_run(&plan);
        return 0;
    }
    struct ring *ring = checked(malloc(sizeof *ring), "malloc");
    memset(ring, 0, sizeof *ring);
    request(PTRACE_SEIZE, pid, (void *)(intptr_t)PTRACE_O_EXITKILL);
    pin(plan.own_cpu);
    if (write(gate[1], "", 1) != 1)
        die("write");
    return trace(pid, ring);
}
