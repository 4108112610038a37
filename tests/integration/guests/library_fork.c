/* library_fork CHANNEL: the library works in a child, even if the fork happened during init, client or fini of another
 * thread. */
#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <qemu-hypertrace.h>

#define FORKS 300

static bool stop;

static void *open_and_close(void *channel)
{
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        assert(qemu_hypertrace_init(channel) == 0);
        assert(qemu_hypertrace_client() != UINT64_MAX);
        assert(qemu_hypertrace_fini() == 0);
    }
    return NULL;
}

static int use_in_child(const char *channel)
{
    alarm(20);      /* if a lock is never released, this ends the child and the test */
    if (qemu_hypertrace_init(channel) != 0 || qemu_hypertrace_client() == UINT64_MAX) {
        return 1;
    }
    qemu_hypertrace_data(0)[0] = 1;
    qemu_hypertrace(0);
    return qemu_hypertrace_fini() == 0 ? 0 : 2;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    int i;

    assert(argc == 2);
    assert(pthread_create(&thread, NULL, open_and_close, argv[1]) == 0);
    for (i = 0; i < FORKS; i++) {
        pid_t child = fork();
        int status;

        assert(child >= 0);
        if (child == 0) {
            _exit(use_in_child(argv[1]));
        }
        assert(waitpid(child, &status, 0) == child && status == 0);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    puts("ok");
    return 0;
}
