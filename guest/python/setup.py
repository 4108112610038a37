"""The extension: the guest library in C, and a module around it. Without a compiler, the package works in pure Python.

SPDX-License-Identifier: MIT
"""

from pathlib import Path

from setuptools import Extension, setup

# Beside this directory in a source tree of htrun; a copy in an archive of the package.
LIBRARY = next(each for each in (Path("library"), Path("../user")) if each.is_dir())

setup(
    ext_modules=[
        Extension(
            "hypertrace_guest._native",
            ["hypertrace_guest/_native.c", *sorted(str(path) for path in LIBRARY.glob("*.c"))],
            include_dirs=[str(LIBRARY)],
            extra_compile_args=["-std=gnu99", "-O2", "-U_FORTIFY_SOURCE", "-fvisibility=hidden"],
            optional=True,
        )
    ]
)
