"""How often a program is stopped, which is the main cost of htrun: counted by the kernel, not timed."""

from __future__ import annotations

import pytest

from tests.support.run import Htrun
from tests.support.toolchain import Toolchain

MAPS = """
#define _GNU_SOURCE
#include <qemu-hypertrace.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
enum { TIMES = 1000 };
static long stops(void)
{
    char line[256];
    long count = -1;
    FILE *file = fopen("/proc/thread-self/status", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        sscanf(line, "voluntary_ctxt_switches: %ld", &count);
    fclose(file);
    return count;
}
int main(int argc, char **argv)
{
    int file = memfd_create("shared", 0);
    if (file < 0 || ftruncate(file, 4096) != 0 || qemu_hypertrace_init(NULL) != 0)
        return 1;
    if (argc > 1 && strcmp(argv[1], "emits") == 0)
        qemu_hypertrace(0);
    long before = stops();
    for (int time = 0; time < TIMES; time++) {
        void *memory = mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, 0);
        if (memory == MAP_FAILED || munmap(memory, 4096) != 0)
            return 2;
    }
    printf("%ld\\n", stops() - before);
    return 0;
}
"""


@pytest.mark.parametrize("case", ["maps", "emits"])
def test_a_shared_files_mapping_stops_once(toolchain: Toolchain, htrun: Htrun, case: str) -> None:
    """With or without a channel: the kernel chooses the address of a mapping, so it can only matter if it replaces
    something."""
    program = toolchain.compile_text(MAPS, "maps")
    stops = int(htrun.run(program, case).check().stdout)
    assert 1000 <= stops < 1200
