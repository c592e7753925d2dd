"""How fast, against a plain loop and against the floor of bare matrix products, measured in one run."""
