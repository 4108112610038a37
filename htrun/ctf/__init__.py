"""The native trace, CTF 1.8: its layout, writer and reader."""
