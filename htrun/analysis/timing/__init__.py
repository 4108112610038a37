"""Spans of a trace: paired, told in figures, compared; and what makes the figures doubtful."""
