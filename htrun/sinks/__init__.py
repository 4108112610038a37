"""The output formats. Most formats have one module each."""
