"""The native trace format, CTF 1.8: its layout, its writer and its reader."""
