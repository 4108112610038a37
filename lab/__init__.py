"""What tests and bench run htrun on: Debian's packages, unpacked in a directory, and machines.

Imports neither the tests nor the bench.
"""
