"""Faster implementations of the same products."""
