"""What several tests share: compilers, emulators, running htrun, and what to do when a tool is missing."""
