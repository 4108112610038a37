/* library_release CHANNEL: a channel with 4 slots. Checks when an index becomes free again. */
#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <qemu-hypertrace.h>

static void *claim(void *index)
{
    *(uint64_t *)index = qemu_hypertrace_client();
    return NULL;
}

static uint64_t claim_in_thread(void)
{
    pthread_t thread;
    uint64_t index = 0;

    assert(pthread_create(&thread, NULL, claim, &index) == 0);
    assert(pthread_join(thread, NULL) == 0);
    return index;
}

static void expect_exit(pid_t child, int code)
{
    int status;

    assert(waitpid(child, &status, 0) == child);
    assert(WIFEXITED(status) && WEXITSTATUS(status) == code);
}

/* The child's index, which is its exit status. */
static uint64_t claim_in_child(void)
{
    pid_t child = fork();
    int status;

    assert(child >= 0);
    if (child == 0) {
        _exit((int)qemu_hypertrace_client());
    }
    assert(waitpid(child, &status, 0) == child && WIFEXITED(status));
    return (uint64_t)WEXITSTATUS(status);
}

static void ended_threads_release(void)
{
    int i;

    for (i = 0; i < 1000; i++) {
        assert(claim_in_thread() == 3);
    }
}

static void children_have_their_own(void)
{
    int i;

    assert(qemu_hypertrace_client() == 3);
    for (i = 0; i < 100; i++) {
        assert(claim_in_child() == 2);
    }
    assert(claim_in_thread() == 2);
    assert(qemu_hypertrace_client() == 3);
}

/* The first process of a tree exits. Its idle child, which never requests an index, does not keep the parent's index.
 */
static void idle_child_holds_nothing(const char *channel)
{
    int hold[2], ready[2];
    pid_t child;
    char byte;

    assert(pipe(hold) == 0 && pipe(ready) == 0);
    child = fork();
    assert(child >= 0);
    if (child == 0) {
        assert(qemu_hypertrace_init(channel) == 0);
        assert(qemu_hypertrace_client() == 3);
        if (fork() == 0) {
            close(hold[1]);
            assert(write(ready[1], "x", 1) == 1);
            _exit(read(hold[0], &byte, 1) == 0 ? 0 : 1);
        }
        _exit(0);
    }
    expect_exit(child, 0);
    assert(read(ready[0], &byte, 1) == 1);
    assert(qemu_hypertrace_init(channel) == 0);
    assert(claim_in_thread() == 3);
    close(hold[0]);
    close(hold[1]);
    close(ready[0]);
    close(ready[1]);
}

static void *hold_and_fork(void *unused)
{
    (void)unused;
    assert(qemu_hypertrace_client() == 2);
    assert(claim_in_child() == 1);
    assert(qemu_hypertrace_client() == 2);
    return NULL;
}

static void fork_in_thread(void)
{
    pthread_t thread;

    assert(pthread_create(&thread, NULL, hold_and_fork, NULL) == 0);
    assert(pthread_join(thread, NULL) == 0);
}

/* One process has index 3, and its children have 2, 1 and 0. A thread gets no index until a child exits. */
static void exhaustion(void)
{
    int hold[2], ready[2];
    pid_t children[3];
    char byte;
    int i;

    assert(pipe(hold) == 0 && pipe(ready) == 0);
    for (i = 0; i < 3; i++) {
        children[i] = fork();
        assert(children[i] >= 0);
        if (children[i] == 0) {
            close(hold[1]);
            assert(qemu_hypertrace_client() == (uint64_t)(2 - i));
            assert(write(ready[1], "x", 1) == 1);
            _exit(read(hold[0], &byte, 1) == 0 ? 0 : 1);
        }
        assert(read(ready[0], &byte, 1) == 1);
    }
    assert(claim_in_thread() == UINT64_MAX);
    assert(qemu_hypertrace_client() == 3);
    close(hold[1]);
    for (i = 0; i < 3; i++) {
        expect_exit(children[i], 0);
    }
    assert(claim_in_thread() == 2);
    close(hold[0]);
    close(ready[0]);
    close(ready[1]);
}

/*
 * A program that closes unknown descriptors, and opens other files with the same numbers. It keeps its index, but other
 * processes can also get this index.
 */
static void closed_descriptors(const char *channel)
{
    int other, fd;

    for (fd = 3; fd < 64; fd++) {
        close(fd);
    }
    other = open("/dev/null", O_RDWR);
    assert(other == 3);
    assert(claim_in_thread() == 2);
    assert(claim_in_child() == 3);
    assert(qemu_hypertrace_client() == 3);
    assert(fcntl(other, F_GETFD) == 0);
    assert(qemu_hypertrace_fini() == 0);
    assert(fcntl(other, F_GETFD) == 0);
    assert(qemu_hypertrace_init(channel) == 0);
    assert(qemu_hypertrace_client() == 3);
}

int main(int argc, char **argv)
{
    assert(argc == 2);
    idle_child_holds_nothing(argv[1]);
    assert(qemu_hypertrace_max_clients() == 4);
    ended_threads_release();
    children_have_their_own();
    fork_in_thread();
    exhaustion();
    closed_descriptors(argv[1]);
    puts("ok");
    return 0;
}
