"""Makes one HTML page of a trace, which needs no network and opens from a disk."""
