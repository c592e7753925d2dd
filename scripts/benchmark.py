"""How fast, against the plain loop and the floor of bare matrix products: `python scripts/benchmark.py`."""

from lm.__main__ import run

if __name__ == "__main__":
    run("benchmark")
