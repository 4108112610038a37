"""The trace of a guest machine's own kernel, which arrives inside htrun's trace: reassembled and decoded."""
