"""What the framework relies on in a cell or a model, and `check`, which tries it."""
