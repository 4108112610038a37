"""The trace of a guest machine's own kernel, which comes within ours: put together again and decoded."""
