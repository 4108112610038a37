"""Compiles programs that run another program in a sandbox, in which one system call is forbidden."""

from __future__ import annotations

from pathlib import Path

from tests.support.toolchain import Toolchain

_SOURCE = """
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FORBIDDEN, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(filter) / sizeof(*filter), filter};
    if (argc < 2 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        return 98;
    execv(argv[1], argv + 1);
    return 99;
}
"""


def sandbox_without(call: str, toolchain: Toolchain) -> Path:
    """A program that executes its arguments as a command. In this command ``call``, such as ``SYS_ptrace``, fails with
    EPERM."""
    return toolchain.compile_text(_SOURCE, f"sandbox_{call}", flags=(f"-DFORBIDDEN={call}",))
