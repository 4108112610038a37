"""A process beside the tracer that looks names up, with lief: importing that takes half a second of a processor.

It is a child of a thread of the tracer, so the program can't wait for it; in the tracer's session, so no terminal
reaches it; without the user's environment; and it ends with the thread.
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
    """Such a process. Only `kill` may be called from threads other than the one that created it."""

    def __init__(self, *, lowest: bool) -> None:
        """``lowest``: at the lowest priority. Raises OSError where it can't be started."""
        package = os.path.dirname(os.path.dirname(os.path.abspath(htrun.__file__)))
        # Isolated, with the modules that the tracer finds, and no others.
        arguments = [sys.executable, "-I", "-S", "-c", _CODE, LOWEST if lowest else "", *sys.path, package]
        questions, self._questions = os.pipe()
        self._answers, answers = os.pipe()
        files = [
            (os.POSIX_SPAWN_DUP2, questions, 0),
            (os.POSIX_SPAWN_DUP2, answers, 1),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ]
        try:
            # By vfork: nothing of the tracer's memory is copied.
            self._pid = os.posix_spawn(sys.executable, arguments, {}, file_actions=files)
        except OSError:
            os.close(self._questions)
            os.close(self._answers)
            raise
        finally:
            os.close(questions)
            os.close(answers)

    def ask(self, file: str, offset: int) -> str | None:
        """The function at an offset of a file; None if it has no name. Raises OSError where nobody answers."""
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
        """Let `ask` fail at once. Before `close`, from any thread."""
        os.kill(self._pid, signal.SIGKILL)

    def close(self) -> None:
        """End it, and release all that it takes."""
        os.close(self._questions)
        os.close(self._answers)
        with suppress(ProcessLookupError, ChildProcessError):
            self.kill()
            os.waitpid(self._pid, 0)
