"""x86 machine code: decoding a store, encoding a trampoline, planning a patch. Knows no process."""
