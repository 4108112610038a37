"""Small programs, each of one subject, that must do the same with and without htrun; and what runs them."""
