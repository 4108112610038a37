// posix_spawn with file actions, signal mask, defaults and process group; system and popen.
#include "subject.h"
#include <spawn.h>

extern char **environ;

static void spawned(posix_spawn_file_actions_t *actions, posix_spawnattr_t *attributes, const char *script)
{
    char *words[] = {(char *)"sh", (char *)"-c", (char *)script, NULL};
    pid_t child;
    MUST0(posix_spawn(&child, "/bin/sh", actions, attributes, words, environ));
    say("%s", reaped(child));
}

int main(void)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&actions, 3, "/etc/hostname", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    on_signal(SIGUSR1, SIG_IGN, 0);
    sigset_t defaults = set_of(SIGUSR1), none;
    sigemptyset(&none);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    spawned(&actions, &attributes, "test -e /proc/self/fd/3 && echo to the error >&2; exit 3");
    spawned(&actions, &attributes, "kill -USR1 $$; exit 4");
    spawned(&actions, NULL, "kill -USR1 $$; exit 5");
    pid_t child;
    char *words[] = {(char *)"none", NULL};
    say("missing: %s", strerror(posix_spawn(&child, "/nonexistent", NULL, NULL, words, environ)));
    say("system %s", described(system("echo in system; kill -TERM $$")));
    FILE *output = popen("printf 'one\\ntwo\\n'; exit 6", "r");
    char line[16];
    while (fgets(line, sizeof line, output))
        say("read %.3s", line);
    say("popen %s", described(pclose(output)));
    return 0;
}
