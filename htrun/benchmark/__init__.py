"""Runs a program many times, with htrun and without it."""
