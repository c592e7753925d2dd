"""A figure of several runs' curves, fit for a paper: `python scripts/plot.py runs=[DIR,DIR] out=FIG.pdf`."""

from lm.__main__ import run

if __name__ == "__main__":
    run("plot")
