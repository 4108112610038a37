/* Requests seccomp's strict mode, which a process with a filter (htrun's) cannot enter. The call fails, and the program
 * continues. */
#include <errno.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

int main(void)
{
    int result = prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
    printf("strict %d %s\n", result, result == -1 ? strerror(errno) : "");
    return 0;
}
