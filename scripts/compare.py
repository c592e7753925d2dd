"""A report of runs beside one another: `python scripts/compare.py runs=[DIR,DIR] out=comparison`."""

from lm.__main__ import run

if __name__ == "__main__":
    run("compare")
