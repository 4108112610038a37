// /proc/self/exe, cmdline, comm and the auxiliary vector describe the program.
// build: static, nopie
// args: first second
#include "subject.h"
#include <sys/auxv.h>

int main(int argc, char **argv)
{
    char exe[PATH_MAX] = {0}, words[4096], comm[32] = {0};
    MUST(readlink("/proc/self/exe", exe, sizeof exe - 1));
    int file = MUST(open("/proc/self/cmdline", O_RDONLY));
    ssize_t length = MUST(read(file, words, sizeof words));
    close(file);
    file = MUST(open("/proc/self/comm", O_RDONLY));
    MUST(read(file, comm, sizeof comm - 1));
    close(file);
    say("exe is what was started %d, its own name %s", strcmp(exe, argv[0]) == 0, strrchr(exe, '/') + 1);
    int count = 0;
    for (ssize_t i = 0; i < length; i++)
        count += words[i] == 0;
    say("cmdline has all words %d, begins with argv[0] %d", count == argc, strcmp(words, argv[0]) == 0);
    say("comm %.*s", (int)strcspn(comm, "\n"), comm);
    say("AT_EXECFN %d, AT_SECURE %lu, AT_PAGESZ %lu, AT_CLKTCK %lu, AT_PHNUM %lu, AT_FLAGS %lu, AT_UID %lu",
        strcmp((char *)getauxval(AT_EXECFN), argv[0]) == 0, getauxval(AT_SECURE), getauxval(AT_PAGESZ),
        getauxval(AT_CLKTCK), getauxval(AT_PHNUM), getauxval(AT_FLAGS), getauxval(AT_UID));
    say("AT_HWCAP %#lx, vdso %d", getauxval(AT_HWCAP), getauxval(AT_SYSINFO_EHDR) != 0);
    return 0;
}
