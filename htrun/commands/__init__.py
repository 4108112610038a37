"""The two programs: ``htrun`` is in module `run`, ``hypertrace`` is in module `hypertrace`.

Each has a ``main`` that returns the exit code.
"""
