"""Generates code that emits the named events of a TOML file, one file for each language."""
