// Socket calls with a receive timeout are interrupted by a handler; without a timeout SA_RESTART restarts them.
#include "subject.h"
#include <sys/socket.h>

static int ran[2];

static void handler(int number)
{
    (void)number;
    mark();
    post(ran[1]);
}

int main(void)
{
    MUST(pipe(ran));
    for (int with_timeout = 0; with_timeout < 2; with_timeout++) {
        int ends[2];
        MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends));
        pid_t child = MUST(fork());
        if (child == 0) {
            on_signal(SIGUSR1, handler, SA_RESTART);
            struct timeval time = {with_timeout ? 20 : 0, 0};
            MUST(setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time));
            char byte;
            ssize_t got = recv(ends[0], &byte, 1, 0);
            say("timeout %d: recv %zd %s", with_timeout, got, got == -1 ? strerror(errno) : "");
            _exit(0);
        }
        await_blocked(child, SYS_recvfrom);
        kill(child, SIGUSR1);
        await_post(ran[0]);
        if (!with_timeout)
            MUST(send(ends[1], "x", 1, 0));
        say("%s", reaped(child));
    }
    return 0;
}
