// Signals that the process ignores do not end epoll_wait, an inotify read, poll, pause, msgrcv or semop.
// The kernel wakes a traced thread for an ignored signal. According to ptrace(2), this affects the first two calls.
#include "subject.h"
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>

static int input;

static int in_epoll(void)
{
    int set = MUST(epoll_create1(0));
    struct epoll_event event = {.events = EPOLLIN};
    MUST(epoll_ctl(set, EPOLL_CTL_ADD, input, &event));
    return epoll_wait(set, &event, 1, 20000);
}

static int in_poll(void)
{
    struct pollfd wanted = {.fd = input, .events = POLLIN};
    return poll(&wanted, 1, 20000);
}

static char watched[] = "watched-XXXXXX";
static int in_inotify(void)
{
    int notify = MUST(inotify_init1(0));
    MUST(inotify_add_watch(notify, watched, IN_DELETE));
    char event[1024];
    return read(notify, event, sizeof event) > 0 ? 1 : -1;
}

static int queue, semaphore;

static int in_msgrcv(void)
{
    struct { long kind; char text[1]; } message;
    return (int)msgrcv(queue, &message, 1, 0, 0);
}

static int in_semop(void)
{
    struct sembuf down = {0, -1, 0};
    return semop(semaphore, &down, 1) == 0 ? 1 : -1;
}

static void try_wait(const char *name, int (*wait_so)(void), long call)
{
    int ends[2];
    MUST(pipe(ends));
    input = ends[0];
    pid_t child = MUST(fork());
    if (child == 0) {
        on_signal(SIGUSR1, SIG_IGN, 0);
        int result = wait_so();
        say("%s %d %s", name, result, result == -1 ? strerror(errno) : "");
        _exit(0);
    }
    for (int i = 0; i < 3; i++) {
        await_blocked(child, call);
        kill(child, i == 1 ? SIGUSR1 : i == 2 ? SIGCHLD : SIGWINCH);
        usleep(5000);
    }
    char inside[64];
    snprintf(inside, sizeof inside, "%s/file", watched);
    close(MUST(open(inside, O_CREAT | O_RDWR, 0600)));
    unlink(inside);
    struct { long kind; char text[1]; } message = {1, "m"};
    MUST(msgsnd(queue, &message, 1, 0));
    struct sembuf up = {0, 1, 0};
    MUST(semop(semaphore, &up, 1));
    post(ends[1]);
    say("%s", reaped(child));
}

int main(void)
{
    if (mkdtemp(watched) == NULL)
        return 1;
    queue = MUST(msgget(IPC_PRIVATE, 0600));
    semaphore = MUST(semget(IPC_PRIVATE, 1, 0600));
    try_wait("epoll_wait", in_epoll, SYS_epoll_wait);
    try_wait("inotify", in_inotify, SYS_read);
    try_wait("poll", in_poll, SYS_poll);
    MUST(msgctl(queue, IPC_RMID, NULL));
    queue = MUST(msgget(IPC_PRIVATE, 0600));
    try_wait("msgrcv", in_msgrcv, SYS_msgrcv);
    MUST(semctl(semaphore, 0, IPC_RMID));
    semaphore = MUST(semget(IPC_PRIVATE, 1, 0600));
    try_wait("semop", in_semop, SYS_semtimedop);
    MUST(msgctl(queue, IPC_RMID, NULL));
    MUST(semctl(semaphore, 0, IPC_RMID));
    rmdir(watched);
    return 0;
}
