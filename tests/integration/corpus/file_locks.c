// fcntl locks and flock between processes: a blocked F_SETLKW fails with EINTR or gets the lock, and the lock is
// released at the owner's death.
#include "subject.h"
#include <sys/file.h>

static void handler(int number)
{
    (void)number;
    mark();
}

int main(void)
{
    char name[] = "lock-XXXXXX";
    int file = MUST(mkstemp(name)), held[2], done[2];
    MUST(pipe(held));
    MUST(pipe(done));
    pid_t holder = MUST(fork());
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10};
    if (holder == 0) {
        MUST(fcntl(file, F_SETLK, &lock));
        post(held[1]);
        pause();
        _exit(0);
    }
    await_post(held[0]);
    struct flock found = lock;
    MUST(fcntl(file, F_GETLK, &found));
    say("held by my child %d", found.l_pid == holder);
    pid_t waiter = MUST(fork());
    if (waiter == 0) {
        on_signal(SIGUSR1, handler, 0);
        int result = fcntl(file, F_SETLKW, &lock);
        say("interrupted %d %s", result, strerror(errno));
        post(done[1]);
        on_signal(SIGUSR1, handler, SA_RESTART);
        result = fcntl(file, F_SETLKW, &lock);
        say("granted %d", result);
        post(done[1]);
        _exit(0);
    }
    await_blocked(waiter, SYS_fcntl);
    kill(waiter, SIGUSR1);
    await_post(done[0]);
    await_blocked(waiter, SYS_fcntl);
    kill(waiter, SIGUSR1);
    kill(holder, SIGKILL);
    await_post(done[0]);
    say("holder %s", reaped(holder));
    say("waiter %s", reaped(waiter));
    int other = MUST(open(name, O_RDWR));
    MUST(flock(file, LOCK_EX));
    int refused = flock(other, LOCK_EX | LOCK_NB);
    say("flock %d %s", refused, strerror(errno));
    unlink(name);
    return 0;
}
