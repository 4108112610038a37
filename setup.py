"""What setup.cfg can't say: the command ``htrun`` is no script but an ELF program, to be installed as it is."""

from __future__ import annotations

import os

from setuptools import setup

# isort: split
from distutils.command.build_scripts import build_scripts


class BuildScripts(build_scripts):
    """Copies without a look into the files, which need not be text."""

    def copy_scripts(self) -> tuple[list[str], list[str]]:
        """Copy all to the directory that they are installed from; where they are, and which of them are new."""
        self.mkpath(self.build_dir)
        names = [(script, os.path.join(self.build_dir, os.path.basename(script))) for script in self.scripts]
        copies = [self.copy_file(script, target) for script, target in names]
        return [path for path, _ in copies], [path for path, new in copies if new]


setup(cmdclass={"build_scripts": BuildScripts})
