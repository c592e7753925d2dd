"""Fast paths: the same products, done faster."""
