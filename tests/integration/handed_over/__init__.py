"""Small programs that were handed over with a bug report, and what starts them."""
