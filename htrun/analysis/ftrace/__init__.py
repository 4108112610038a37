"""What a Linux kernel traces of itself, decoded: formats of events, and entries by them."""
