// exec that fails leaves the program as it was; scripts, interpreters of scripts, missing interpreters, fexecve.
#include "subject.h"

extern char **environ;

static void write_file(const char *name, const char *text, int mode)
{
    int file = MUST(open(name, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600));
    MUST(write(file, text, strlen(text)));
    MUST(fchmod(file, (mode_t)mode));
    close(file);
}

static void try_exec(const char *name)
{
    pid_t child = MUST(fork());
    if (child == 0) {
        execl(name, name, "argument", NULL);
        say("%s: %s", name, strerror(errno));
        mark();
        _exit(1);
    }
    say("%s", reaped(child));
}

int main(void)
{
    write_file("script", "#!/bin/sh\necho script $0 $1; exit 3\n", 0755);
    write_file("nested", "#!./script\n", 0755);
    write_file("lost", "#!/nonexistent/interpreter\n", 0755);
    write_file("nothing", "", 0755);
    write_file("text", "no program\n", 0755);
    write_file("data", "#!/bin/sh\n", 0644);
    write_file("broken", "\177ELF\2\1\1 and no more", 0755);
    const char *names[] = {"./script", "./nested", "./lost", "./nothing", "./text", "./data", "./broken", "./none", "."};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        try_exec(names[i]);
    int file = MUST(open("/bin/true", O_RDONLY | O_CLOEXEC));
    pid_t child = MUST(fork());
    if (child == 0) {
        char *words[] = {(char *)"true", NULL};
        fexecve(file, words, environ);
        _exit(9);
    }
    say("fexecve %s", reaped(child));
    for (unsigned i = 0; i < 7; i++)
        unlink(names[i]);
    return 0;
}
