"""Scripts with which shells complete command lines: a description of a command, and a script for each shell."""
