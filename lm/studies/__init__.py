"""Studies that measure and report: comparison, truncation, benchmark."""
