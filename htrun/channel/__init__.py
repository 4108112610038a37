"""The hypertrace channel: the ABI (version 1) between guests and htrun, and nothing else."""
