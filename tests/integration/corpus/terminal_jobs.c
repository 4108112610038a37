// Job control on a pseudo-terminal: SIGTTIN and SIGTTOU for the background, keys to the foreground, tcsetpgrp, hang-up.
#include "subject.h"
#include <sys/ioctl.h>
#include <termios.h>

static int master, terminal;

static pid_t job(void (*body)(void), int foreground)
{
    pid_t child = MUST(fork());
    if (child == 0) {
        close(master);
        setpgid(0, 0);
        if (foreground) {
            on_signal(SIGTTOU, SIG_IGN, 0);
            MUST(tcsetpgrp(terminal, getpid()));
            on_signal(SIGTTOU, SIG_DFL, 0);
        }
        body();
        _exit(0);
    }
    setpgid(child, child);
    return child;
}

static void reads(void)
{
    char line[16];
    ssize_t got = read(terminal, line, sizeof line);
    mark();
    _exit((int)got);
}

static void sets_terminal(void)
{
    struct termios settings;
    MUST(tcgetattr(terminal, &settings));
    MUST(tcsetattr(terminal, TCSANOW, &settings));
}

static const char *waited(pid_t child)
{
    int status;
    MUST(waitpid(child, &status, WUNTRACED));
    return described(status);
}

static void to_foreground(pid_t group)
{
    MUST(tcsetpgrp(terminal, group));
    kill(-group, SIGCONT);
}

static void type_when_blocked(pid_t child, const char *keys)
{
    await_blocked(child, SYS_read);
    MUST(write(master, keys, strlen(keys)));
}

static void shell(void)
{
    MUST(setsid());
    terminal = MUST(open(ptsname(master), O_RDWR));
    MUST(ioctl(terminal, TIOCSCTTY, 0));
    on_signal(SIGTTOU, SIG_IGN, 0);
    on_signal(SIGHUP, SIG_IGN, 0);
    MUST(tcsetpgrp(terminal, getpid()));

    pid_t child = job(reads, 0);
    say("background read: %s", waited(child));
    to_foreground(child);
    type_when_blocked(child, "four\n");
    say("foreground read: %s", waited(child));
    MUST(tcsetpgrp(terminal, getpid()));

    child = job(sets_terminal, 0);
    say("background tcsetattr ignoring SIGTTOU: %s", waited(child));
    on_signal(SIGTTOU, SIG_DFL, 0);
    child = job(sets_terminal, 0);
    on_signal(SIGTTOU, SIG_IGN, 0);
    say("background tcsetattr: %s", waited(child));
    to_foreground(child);
    say("foreground tcsetattr: %s", waited(child));

    const char *keys[] = {"\003", "\034", "\032"};
    for (int i = 0; i < 3; i++) {
        child = job(reads, 1);
        type_when_blocked(child, keys[i]);
        say("key %d: %s", keys[i][0], waited(child));
    }
    to_foreground(child);
    type_when_blocked(child, "go on\n");
    say("after fg: %s", waited(child));

    child = job(reads, 1);
    await_blocked(child, SYS_read);
    MUST(close(master));
    say("hang-up: %s", waited(child));
    _exit(0);
}

int main(void)
{
    struct rlimit none = {0, 0};
    MUST(setrlimit(RLIMIT_CORE, &none));
    master = MUST(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    MUST(grantpt(master));
    MUST(unlockpt(master));
    pid_t child = MUST(fork());
    if (child == 0)
        shell();
    MUST(close(master));
    say("shell: %s", reaped(child));
    return 0;
}
