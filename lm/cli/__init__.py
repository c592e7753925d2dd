"""The command line: the user's arguments, error messages, help."""
