"""Small programs from bug reports, and programs that start them."""
