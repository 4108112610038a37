"""Parts of the page's script, in node; tests/integration/test_view.py tests the page in a browser."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import htrun
from tests.support.requirements import require_tool

SCRIPTS = Path(htrun.__file__).parent / "view" / "assets" / "js"
HERE = Path(__file__).parent / "page"


@pytest.mark.parametrize("name", sorted(path.name for path in HERE.glob("*.test.mjs")))
def test_in_node(name: str, tmp_path: Path) -> None:
    node = require_tool("node", "nodejs")
    # Node treats a .js file as a module only if a package.json says so; the page's scripts are in no package.
    shutil.copytree(SCRIPTS, tmp_path / "js")
    (tmp_path / "js" / "package.json").write_text('{"type": "module"}')
    for path in HERE.glob("*.mjs"):
        shutil.copy(path, tmp_path)
    command: list[str | Path] = [node, "--test", "--test-reporter=tap", name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    passed = next(line for line in done.stdout.splitlines() if line.startswith("# pass "))
    assert int(passed.split()[-1]) >= len(re.findall(r"\btest\(", (HERE / name).read_text()))
