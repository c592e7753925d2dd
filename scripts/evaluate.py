"""Nats, tokens and perplexity of a trained model: `python scripts/evaluate.py checkpoint=PATH`."""

from lm.__main__ import run

if __name__ == "__main__":
    run("evaluate")
