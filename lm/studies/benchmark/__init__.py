"""Speed against a plain loop and against bare matrix products (the floor), measured in one run."""
