"""Spans of a trace: paired, summarised and compared; and the doubts about the results."""
