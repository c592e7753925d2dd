"""Describe a corpus before any training: `python scripts/describe.py data=text data.train=FILE [out=DIR]`."""

from lm.__main__ import run

if __name__ == "__main__":
    run("describe")
