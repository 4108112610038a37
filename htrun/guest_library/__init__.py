"""The guest library and the kernel module, as distributed with htrun: their sources, and archives for compilers."""
