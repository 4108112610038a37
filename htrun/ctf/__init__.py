"""The native trace, CTF 1.8: layout and reader."""
