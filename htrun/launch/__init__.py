"""Decides what to execute for the user's program: a program for this machine, a program for another machine (with its
emulator), or a script.

Nothing in this package uses ptrace.
"""
