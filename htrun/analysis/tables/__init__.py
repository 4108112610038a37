"""A trace as tables for SQL and data frames, which are read from the trace when they are asked for."""
