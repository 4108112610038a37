// rseq is registered for each thread, and after fork and exec; membarrier works.
// emit: no, htrun registers for membarrier's core serialisation to patch code, which the program can see
#include "subject.h"
#include <linux/membarrier.h>
#include <stddef.h>
#include <sys/rseq.h>

static void *registered(void *who)
{
    const struct rseq *mine = (const struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
    say("%s: size %u, processor known %d", (char *)who, __rseq_size, (int)mine->cpu_id >= 0);
    mark();
    say("%s: processor known %d", (char *)who, (int)mine->cpu_id >= 0);
    return NULL;
}

int main(int argc, char **argv)
{
    registered((void *)(argc > 1 ? "executed" : "main"));
    if (argc > 1)
        return 0;
    pthread_t thread;
    MUST0(pthread_create(&thread, NULL, registered, (void *)"thread"));
    MUST0(pthread_join(thread, NULL));
    pid_t child = MUST(fork());
    if (child == 0) {
        registered((void *)"child");
        _exit(0);
    }
    say("%s", reaped(child));
    say("commands %#lx", syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0));
    long result = syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0);
    say("unregistered %ld %s", result, result ? strerror(errno) : "");
    say("register %ld", syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0));
    say("barrier %ld", syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0));
    execl("/proc/self/exe", argv[0], "again", NULL);
    return 1;
}
