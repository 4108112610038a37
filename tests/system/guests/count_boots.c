/*
 * count_boots COUNT: emits the number of this boot, from 1 on, and resets the machine until the number is COUNT. The
 * number is stored in the last slot of the channel, which a reset does not change.
 */

#include <stdio.h>
#include <stdlib.h>
#include <sys/reboot.h>

#include <qemu-hypertrace.h>

int main(int argc, char **argv)
{
    uint64_t last = argc > 1 ? strtoul(argv[1], NULL, 0) : 1;
    uint64_t *boots;

    if (qemu_hypertrace_init(NULL) != 0) {
        perror("init");
        return 1;
    }
    boots = qemu_hypertrace_data(qemu_hypertrace_max_clients() - 1);
    qemu_hypertrace_data(0)[0] = ++boots[0];
    qemu_hypertrace(0);
    printf("boot %lu\n", (unsigned long)boots[0]);
    if (boots[0] < last) {
        reboot(RB_AUTOBOOT);
    }
    return 0;
}
