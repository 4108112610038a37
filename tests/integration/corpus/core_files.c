// ulimit -c: a core file is written, is an ELF core of the process, and is missing with a limit of 0.
// build: static
#include "subject.h"
#include <elf.h>
#include <glob.h>

static int cores_removed(void)
{
    glob_t found;
    int count = 0;
    if (glob("core*", 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++) {
            Elf64_Ehdr header = {0};
            int file = MUST(open(found.gl_pathv[i], O_RDONLY));
            MUST(read(file, &header, sizeof header));
            close(file);
            count += memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 && header.e_type == ET_CORE;
            unlink(found.gl_pathv[i]);
        }
        globfree(&found);
    }
    return count;
}

static void dies(rlim_t limit, int number)
{
    pid_t child = MUST(fork());
    if (child == 0) {
        struct rlimit core = {limit, RLIM_INFINITY};
        MUST(setrlimit(RLIMIT_CORE, &core));
        if (number)
            raise(number);
        fault_at(4);
    }
    const char *how = reaped(child);
    say("limit %ld signal %d: %s, core files %d", (long)limit, number, how, cores_removed());
}

int main(void)
{
    dies(RLIM_INFINITY, 0);
    dies(RLIM_INFINITY, SIGQUIT);
    dies(RLIM_INFINITY, SIGABRT);
    dies(RLIM_INFINITY, SIGTERM);
    dies(0, 0);
    dies(0, SIGQUIT);
    MUST(prctl(PR_SET_DUMPABLE, 0));
    dies(RLIM_INFINITY, 0);
    return 0;
}
