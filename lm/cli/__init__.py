"""The command line: the arguments that the user types, error messages, and help."""
