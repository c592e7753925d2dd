"""The command line: arguments as people type them, errors as sentences, help."""
