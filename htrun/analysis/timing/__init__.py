"""Spans of a trace: pairs them, summarises and compares them, and lists reasons to doubt the results."""
