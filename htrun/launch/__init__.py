"""What to start, and how: a program for this machine, one for another (and its emulator), a script.

Nothing here uses ptrace.
"""
