"""Decides what to execute for a program: a program for this machine, one for another (with its emulator), or a script.

Nothing here uses ptrace.
"""
