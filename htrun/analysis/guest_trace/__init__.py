"""Reassembles and decodes the trace of a guest machine's own kernel, which is contained in htrun's trace."""
