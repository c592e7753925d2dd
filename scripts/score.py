"""Surprisal of sentences: `python scripts/score.py checkpoint=PATH file=FILE [format=sentences] [out=FILE.tsv]`."""

from lm.__main__ import run

if __name__ == "__main__":
    run("score")
