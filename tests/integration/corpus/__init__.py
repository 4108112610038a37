"""Small programs that must do the same with and without htrun, and code that runs them. Each program is about one
subject."""
