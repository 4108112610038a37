"""The guest library and the kernel module as they come with htrun: their sources, and archives for a compiler."""
