"""The guest library as a subproject of Meson."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from htrun.errors import HtrunError
from htrun.guest_library.sources import guest_directory

if TYPE_CHECKING:
    from pathlib import Path

_NAME = "qemu-hypertrace-guest"
_WRAP = f"""\
# The guest library of htrun, copied by `hypertrace guest --meson`.
[wrap-file]
directory = {_NAME}

[provide]
dependency_names = {_NAME}
"""


def add_subproject(project: Path) -> None:
    """Copy the library's sources into the Meson project ``project``, as ``subprojects/qemu-hypertrace-guest`` and a
    wrap file beside it. An older copy is replaced.

    Raises `HtrunError`.
    """
    if not (project / "meson.build").is_file():
        raise HtrunError(f"{project} is not a Meson project: it has no meson.build")
    guest = guest_directory()
    target = project / "subprojects" / _NAME
    try:
        if target.exists():
            shutil.rmtree(target)
        target.mkdir(parents=True)
        for path in [*(guest / "user").glob("*.[ch]"), guest / "user" / "meson.build", guest / "LICENSE"]:
            shutil.copy(path, target)
        target.with_suffix(".wrap").write_text(_WRAP)
    except OSError as error:
        raise HtrunError(f"cannot copy the sources to {target}: {error.strerror}") from error
