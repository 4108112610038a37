"""The programs and machines on which the tests and the benches run htrun: packages of Debian, unpacked in a directory,
and whole machines.

It imports neither the tests nor the benches.
"""
