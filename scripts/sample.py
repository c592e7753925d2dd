"""Text from a trained model: `python scripts/sample.py checkpoint=PATH prompt="the company"`."""

from lm.__main__ import run

if __name__ == "__main__":
    run("sample")
