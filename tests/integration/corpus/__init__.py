"""Small programs, each about one subject, that must do the same with and without htrun; and code that runs them."""
