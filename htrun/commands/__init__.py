"""The two programs: `run` is ``htrun``, `hypertrace` is ``hypertrace``. Arguments in, exit code out."""
