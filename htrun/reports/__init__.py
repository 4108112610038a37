"""What the verbs of hypertrace print."""
