"""A report that compares runs: `python scripts/compare.py runs=[DIR,DIR] out=comparison`."""

from lm.__main__ import run

if __name__ == "__main__":
    run("compare")
