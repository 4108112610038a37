"""A separate process that looks names up with lief. Importing lief takes half a second of processor time.

The helper is a child of a thread of the tracer, so the program can't wait for it. It is in the tracer's session, so it
gets no signals from a terminal. It runs without the user's environment. It dies when the thread that has created it
exits.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import suppress

import htrun
from htrun.intercept.symbol_server import LOWEST

_CODE = "import sys; sys.path[:] = sys.argv[2:]; from htrun.intercept.symbol_server import serve; serve(sys.argv[1])"


class SymbolHelper:
    """A running helper process. Only `kill` may be called from threads other than the one that created the helper."""

    def __init__(self, *, lowest: bool) -> None:
        """``lowest``: whether the helper runs at the lowest priority. Raises OSError if the helper can't be started."""
        package = os.path.dirname(os.path.dirname(os.path.abspath(htrun.__file__)))
        # Python runs isolated (-I -S), so it finds only the modules that the tracer finds.
        arguments = [sys.executable, "-I", "-S", "-c", _CODE, LOWEST if lowest else "", *sys.path, package]
        questions, self._questions = os.pipe()
        self._answers, answers = os.pipe()
        files = [
            (os.POSIX_SPAWN_DUP2, questions, 0),
            (os.POSIX_SPAWN_DUP2, answers, 1),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ]
        try:
            # posix_spawn uses vfork, so it does not copy the tracer's memory.
            self._pid = os.posix_spawn(sys.executable, arguments, {}, file_actions=files)
        except OSError:
            os.close(self._questions)
            os.close(self._answers)
            raise
        finally:
            os.close(questions)
            os.close(answers)

    def ask(self, file: str, offset: int) -> str | None:
        """The function at ``offset`` of ``file``; None if the function has no name. Raises OSError if the helper does
        not answer."""
        question = memoryview(json.dumps([file, offset]).encode() + b"\n")
        while question:
            question = question[os.write(self._questions, question) :]
        answer = b""
        while not answer.endswith(b"\n"):
            piece = os.read(self._answers, 1 << 16)
            if not piece:
                raise BrokenPipeError
            answer += piece
        name = json.loads(answer)
        return name if isinstance(name, str) else None

    def kill(self) -> None:
        """Make `ask` fail immediately. May be called from any thread, before `close`."""
        os.kill(self._pid, signal.SIGKILL)

    def close(self) -> None:
        """End the helper, and release its resources."""
        os.close(self._questions)
        os.close(self._answers)
        with suppress(ProcessLookupError, ChildProcessError):
            self.kill()
            os.waitpid(self._pid, 0)
