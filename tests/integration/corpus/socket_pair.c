// A socket pair: messages both ways, a descriptor passed, the peer's credentials, and the end of file.
#include "subject.h"
#include <sys/socket.h>

static void send_descriptor(int socket, int descriptor)
{
    union { char bytes[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control;
    struct iovec data = {(void *)"fd", 2};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    memset(&control, 0, sizeof control);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
    MUST(sendmsg(socket, &message, 0));
}

static int receive_descriptor(int socket)
{
    union { char bytes[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control;
    char text[2];
    struct iovec data = {text, 2};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    MUST(recvmsg(socket, &message, 0));
    int descriptor;
    memcpy(&descriptor, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof descriptor);
    return descriptor;
}

int main(void)
{
    int ends[2], words[2];
    MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends));
    MUST(pipe(words));
    pid_t child = MUST(fork());
    if (child == 0) {
        close(ends[0]);
        send_descriptor(ends[1], words[0]);
        mark();
        char text[16];
        say("child received %.4s", (MUST(read(ends[1], text, sizeof text)), text));
        _exit(0);
    }
    close(ends[1]);
    int received = receive_descriptor(ends[0]);
    post(words[1]);
    await_post(received);
    struct ucred peer;
    socklen_t size = sizeof peer;
    MUST(getsockopt(ends[0], SOL_SOCKET, SO_PEERCRED, &peer, &size));
    say("descriptor works, peer is me %d", peer.pid == getpid());
    MUST(write(ends[0], "ping", 4));
    char byte;
    say("end of file %zd", read(ends[0], &byte, 1));
    say("%s", reaped(child));
    return 0;
}
