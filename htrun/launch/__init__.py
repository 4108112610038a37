"""What to start, and how: a program for this machine, one for another (and by which emulator), a script.

Nothing here knows of ptrace.
"""
