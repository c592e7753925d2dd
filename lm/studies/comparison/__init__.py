"""Runs beside one another: what they wrote, what follows from it, and a page that says so."""
