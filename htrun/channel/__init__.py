"""The hypertrace channel: the ABI that guest and htrun share (version 1), and nothing else."""
