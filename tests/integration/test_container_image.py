"""The image that Containerfile describes: it is built and run with podman, on a base that is made here.

A machine needs root, podman and mmdebstrap. The base stands for debian:13-slim, since no registry of images is needed:
it has the same packages, and apt finds nothing to download.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.deadline import no_deadline
from tests.support.empty_debian import assert_first_event, download_needs, readme_program, system_with_python
from tests.support.requirements import require_tool, required
from tests.support.toolchain import ROOT, Toolchain

pytestmark = pytest.mark.heavy("builds an image of a container")

_PODMAN = """
if [ -e /sys/fs/cgroup/unified ]; then
    umount -R /sys/fs/cgroup
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
fi
exec podman "$@"
"""
"""In a mount namespace of its own. crun refuses to run where both versions of control groups are mounted."""
_LIMITS = ("--cgroups=disabled", "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024")
"""Where root may not raise limits, containers cannot have podman's defaults, which are higher."""
Podman = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    """Runs podman with storage of its own, in which the image ``htrun`` is built."""
    require_tool("podman", "podman")
    directory = tmp_path_factory.mktemp("podman")
    # podman accepts at most 50 characters.
    state = Path(tempfile.mkdtemp(prefix="podman-", dir="/tmp"))
    store = ("--log-level=error", "--root", directory / "storage", "--runroot", state)

    def podman(*words: str | Path) -> subprocess.CompletedProcess[str]:
        command = ["unshare", "--mount", "sh", "-euc", _PODMAN, "sh", *store, *words]
        environment = os.environ | {"XDG_CONFIG_HOME": str(directory)}
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
        )

    with no_deadline():
        try:
            build(podman, directory)
            yield podman
        finally:
            podman("system", "reset", "--force")
            shutil.rmtree(directory)
            if state.exists():
                shutil.rmtree(state)


def build(podman: Podman, directory: Path) -> None:
    """Build the image from the repository."""
    with required():
        root = system_with_python("bookworm")
    archive, wheels = directory / "base.tar", directory / "wheels"
    subprocess.run(["tar", "-C", root, "--exclude=./etc/apt/sources.list*", "-cf", archive, "."], check=True)
    wheels.mkdir()
    download_needs(wheels, root)
    options = ("--isolation=chroot", "--network=host", f"--volume={wheels}:/wheels:ro")
    arguments = ("BASE=localhost/base", "PIP_OPTIONS=--no-index --find-links=/wheels")
    for words in (
        ("import", "--quiet", archive, "base"),
        ("build", "--quiet", *options, *(f"--build-arg={each}" for each in arguments), "--tag=htrun", ROOT),
    ):
        done = podman(*words)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_first_event_in_a_container(podman: Podman, toolchain: Toolchain, tmp_path: Path) -> None:
    """The program is linked with the library that the image contains. htrun is process 1."""
    (tmp_path / "my-hypertrace.c").write_text(readme_program())
    mounted = f"--volume={tmp_path}:/work"
    shell = ("run", "--rm", "--network=host", *_LIMITS, mounted, "--entrypoint=sh", "htrun", "-euc")
    done = podman(*shell, "gcc -o my-hypertrace my-hypertrace.c $(hypertrace guest --cflags --static)")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    run = (
        "run",
        "--rm",
        "--network=host",
        *_LIMITS,
        mounted,
        "htrun",
        "-D",
        "/dev/stdout",
        "--summary",
        "summary.json",
    )
    done = podman(*run, "--hypertrace", "/tmp/ht", "./my-hypertrace", "/tmp/ht")
    assert (done.returncode, done.stderr) == (0, "")
    assert_first_event(done.stdout.splitlines())
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["events"], summary["no_ptrace"], summary["warnings"]) == (1, False, {})


def test_the_exit_status_is_the_programs(podman: Podman) -> None:
    done = podman("run", "--rm", "--network=host", *_LIMITS, "htrun", "sh", "-c", "exit 3")
    assert (done.returncode, done.stdout, done.stderr) == (3, "", "")
