"""Measured answers as pages: comparison, truncation, benchmark."""
