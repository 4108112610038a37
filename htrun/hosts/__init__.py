"""The machines htrun runs on, each in a package of its own."""
