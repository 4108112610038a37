"""Rings: the memory in which a guest thread (writer) leaves its records for htrun (reader)."""
