"""Rings: the memory in which a guest thread (the writer) leaves its records for htrun (the reader)."""
