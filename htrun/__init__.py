"""htrun: run a program and record the events it emits through a hypertrace channel."""

__version__ = "0.1.0"
