"""The output of hypertrace's verbs."""
