"""Speed compared with the plain loop and with bare matrix products: `python scripts/benchmark.py`."""

from lm.__main__ import run

if __name__ == "__main__":
    run("benchmark")
