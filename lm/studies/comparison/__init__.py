"""Compares training runs: reads their folders, measures their checkpoints, and writes a report."""
