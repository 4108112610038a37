"""One run: the loop (next stop, what it means, who handles it), who is traced, what comes out."""
