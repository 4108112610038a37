"""x86-64: registers, system call interfaces, decoding a store, encoding a trampoline, planning a patch."""
