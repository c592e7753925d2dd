"""Distances between words: `python scripts/distance.py checkpoint=PATH words=[army,taxpayer]`."""

from lm.__main__ import run

if __name__ == "__main__":
    run("distance")
