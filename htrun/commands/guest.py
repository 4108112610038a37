"""``hypertrace guest``: prints the options with which a compiler finds the guest library that comes with htrun."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import htrun
from htrun.errors import HtrunError
from htrun.guest_library.archive import archive, install
from htrun.guest_library.jar import jar
from htrun.guest_library.meson import add_subproject
from htrun.guest_library.npm import npm_package
from htrun.guest_library.single_header import single_header
from htrun.guest_library.sources import copy_sources, guest_directory
from htrun.reports.output import show

if TYPE_CHECKING:
    import argparse


_FILES = ("install", "sources", "single_header", "cmake", "meson", "jar", "npm")
"""The options that exclude each other and compiler options."""


class GuestCommand:
    """Print compiler options for the guest library, or install or copy the library."""

    examples = """
Options for the compiler are printed on one line, as pkg-config prints them. The package contains the
library for some targets. For other targets, guest builds it once, into ~/.cache/htrun, which needs make.

examples:
  gcc -o app app.c $(hypertrace guest --cflags --libs)
  aarch64-linux-gnu-gcc -o app app.c $(hypertrace guest --cc aarch64-linux-gnu-gcc --cflags --libs)
  hypertrace guest --single-header > qemu-hypertrace-single.h
  hypertrace guest --install ~/.local
  hypertrace guest --sources third_party/hypertrace
  cmake -B build -D qemu-hypertrace-guest_DIR=$(hypertrace guest --cmake)
  hypertrace guest --meson .
  javac -cp $(hypertrace guest --jar) App.java
  npm install $(hypertrace guest --npm)

In CMake, find_package(qemu-hypertrace-guest) provides the target qemu-hypertrace::guest. In Meson, use
dependency('qemu-hypertrace-guest'). Both build the library with the compiler of the project.
"""

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the options."""
        flags = parser.add_argument_group("compiler options")
        flags.add_argument("--cflags", action="store_true", help="print the -I option for qemu-hypertrace.h")
        flags.add_argument("--libs", action="store_true", help="print the -L and -l options for the library")
        flags.add_argument(
            "--static", action="store_true", help="print the path of the library instead of -L and -l; implies --libs"
        )
        flags.add_argument(
            "--cc",
            metavar="CC",
            help="the compiler for which to build the library, such as aarch64-linux-gnu-gcc (default: gcc)",
        )
        files = parser.add_argument_group("files").add_mutually_exclusive_group()
        files.add_argument(
            "--install",
            metavar="PREFIX",
            help="install the library, the headers for programs and kernel modules, files for pkg-config and CMake, "
            "and the kernel module's sources for DKMS (below $DESTDIR, if it is set)",
        )
        files.add_argument(
            "--sources",
            metavar="DIR",
            type=Path,
            help="copy the sources of the library and of the kernel module to DIR, which must not exist",
        )
        files.add_argument(
            "--single-header",
            action="store_true",
            help="print the library as a single header. Exactly one C file must define QEMU_HYPERTRACE_IMPLEMENTATION "
            "before it includes the header",
        )
        files.add_argument(
            "--cmake",
            action="store_true",
            help="print the directory with the configuration for CMake's find_package(qemu-hypertrace-guest)",
        )
        files.add_argument(
            "--meson",
            metavar="DIR",
            type=Path,
            help="add the library to the Meson project in DIR, as a subproject with a wrap file",
        )
        files.add_argument(
            "--jar", action="store_true", help="print the path of the jar for Java; the first use builds it with a JDK"
        )
        files.add_argument(
            "--npm",
            action="store_true",
            help="print the path of the package for Node.js, which npm builds with a C compiler when it installs it",
        )

    def run(self, arguments: argparse.Namespace) -> int:
        """Print the options, or install or copy the library; returns 0. Raises `HtrunError`."""
        flags = arguments.cflags or arguments.libs or arguments.static
        files = any(getattr(arguments, name) for name in _FILES)
        if not flags and not files:
            raise HtrunError(
                "give one of --cflags, --libs, --install, --sources, --single-header, --cmake, --meson, --jar or --npm"
            )
        if flags and files:
            raise HtrunError("--cflags, --libs and --static cannot be combined with other output")
        if arguments.install:
            prefix = os.path.abspath(os.path.expanduser(arguments.install))
            install(prefix, os.environ.get("DESTDIR", ""), arguments.cc)
        elif arguments.sources:
            copy_sources(arguments.sources)
        elif arguments.single_header:
            show(single_header(htrun.__version__))
        elif arguments.cmake:
            show(f"{guest_directory() / 'user' / 'cmake'}\n")
        elif arguments.meson:
            add_subproject(arguments.meson)
        elif arguments.jar:
            show(f"{jar()}\n")
        elif arguments.npm:
            show(f"{npm_package()}\n")
        else:
            show(_flags(arguments) + "\n")
        return 0


def _flags(arguments: argparse.Namespace) -> str:
    words = []
    if arguments.cflags:
        words.append(f"-I{guest_directory() / 'user'}")
    if arguments.static:
        words += [str(archive(arguments.cc)), "-pthread"]
    elif arguments.libs:
        words += [f"-L{archive(arguments.cc).parent}", "-lqemu-hypertrace-guest", "-pthread"]
    spaced = next((word for word in words if any(letter.isspace() for letter in word)), None)
    if spaced is not None:
        raise HtrunError(f"a shell would split {spaced!r} at its space: install the library elsewhere with --install")
    return " ".join(words)
