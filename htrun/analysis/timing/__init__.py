"""Finds the spans of a trace, summarises and compares their durations, and lists reasons to doubt the results."""
