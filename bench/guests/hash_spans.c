/*
 * hash() between a begin (arg1 1) and an end (arg1 2), again and again: hash_spans BYTES CALLS. Without htrun it does
 * the same work and emits nothing.
 */
#include "../hash.h"

#include <qemu-hypertrace.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    size_t size = strtoul(argv[1], NULL, 10), calls = strtoul(argv[2], NULL, 10);
    unsigned char *data = malloc(size);
    uint64_t nowhere[1], *slot = nowhere, value = 1;
    if (data == NULL)
        return 1;
    memset(data, 7, size);
    if (qemu_hypertrace_init(NULL) == 0)
        slot = qemu_hypertrace_data(0);
    else if (errno != ENOENT)
        return 1;
    for (size_t call = 0; call < calls; call++) {
        slot[0] = 1;
        qemu_hypertrace(0);
        value = hash(data, size, value);
        slot[0] = 2;
        qemu_hypertrace(0);
    }
    printf("%016llx\n", (unsigned long long)value);
    free(data);
    return 0;
}
