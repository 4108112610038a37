"""Presents a trace as tables for SQL and data frames. Rows are read from the trace when a query needs them."""
