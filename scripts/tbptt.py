"""Measure and draw the effect of detaching the state: `python scripts/tbptt.py [out=DIR]`."""

from lm.__main__ import run

if __name__ == "__main__":
    run("tbptt")
