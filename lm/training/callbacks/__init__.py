"""Lightning callbacks; no result depends on them."""
