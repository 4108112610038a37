"""Rings: the memory to which a guest thread (the writer) writes its records, and from which htrun (the reader) reads
them."""
