"""What to start, and how: a program for this machine, one for another (and by which emulator), a script.

Nothing here knows of ptrace. The values are named tuples, not dataclasses: each of those costs more than half a
millisecond to define, and all of this is imported before the program is started.
"""
