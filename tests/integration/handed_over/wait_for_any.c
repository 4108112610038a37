/* Waits for any child, and has none. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

int main(void)
{
    int result = wait(NULL);

    printf("wait: %d, %s\n", result, strerror(errno));
    return 0;
}
