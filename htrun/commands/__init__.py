"""The two programs: module `run` is ``htrun``, module `hypertrace` is ``hypertrace``.

Each has a ``main`` that returns the exit code.
"""
