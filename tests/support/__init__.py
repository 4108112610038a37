"""Helpers that several tests share: they compile guests, find emulators, run htrun, and skip a test if a tool is
missing."""
