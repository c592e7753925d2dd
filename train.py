"""Train a language model: `python train.py --help`."""

from lm.__main__ import run

if __name__ == "__main__":
    run("train")
