"""A Python for AArch64 that runs under qemu-user: a host on which htrun does not trace programs."""

from __future__ import annotations

import re
import sysconfig
from pathlib import Path

from lab.debian import Unpacked
from lab.once import make_once
from tests.support.requirements import require_tool, required
from tests.support.toolchain import ROOT

_PACKAGES = (
    "python3.13-minimal",
    "libpython3.13-minimal",
    "libpython3.13-stdlib",
    "python3-numpy",
    "libblas3",
    "liblapack3",
    "libgfortran5",
    "libstdc++6",
    "libgcc-s1",
    "libc6",
    "zlib1g",
    "libexpat1",
    "libffi8",
    "libbz2-1.0",
    "liblzma5",
    "libzstd1",
    "libssl3t64",
)
_ARM64 = Unpacked("python-arm64-trixie", "trixie", tuple(map(re.escape, _PACKAGES)), "arm64")


def python() -> list[str | Path]:
    """The words that run this Python, which imports this tree's htrun. The first call may download it. Ends the test
    without network or apt."""
    emulator = require_tool("qemu-aarch64", "qemu-user")
    with required():
        directory = _ARM64.directory()
    # The files are below usr, and the programs name their linker without it.
    make_once(directory / "lib", lambda link: link.symlink_to("usr/lib"))
    libraries = "/usr/lib/aarch64-linux-gnu"
    # Modules in Python that do not come with this Debian's own, such as rich.
    modules = (ROOT, f"{directory}/usr/lib/python3/dist-packages", sysconfig.get_path("purelib"))
    return [
        emulator,
        # This processor model has no pointer authentication, because its emulation would take most of the time.
        *("-cpu", "cortex-a57"),
        *("-L", directory),
        *("-E", f"LD_LIBRARY_PATH={libraries}/blas:{libraries}/lapack"),
        *("-E", f"PYTHONPATH={':'.join(map(str, modules))}"),
        # The packages contain no bytecode.
        *("-E", f"PYTHONPYCACHEPREFIX={directory}/bytecode"),
        directory / "usr" / "bin" / "python3.13",
    ]
