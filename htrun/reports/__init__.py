"""The output of the commands of hypertrace."""
