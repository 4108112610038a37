/* Waits for any child, although it has no children. */
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
