"""What the tests and the bench try htrun on, and neither of them is: Debian's packages, unpacked aside, and machines.

Knows neither the tests nor the bench.
"""
