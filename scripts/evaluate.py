"""Nats, tokens and perplexity of a trained model: `python scripts/evaluate.py checkpoint=PATH`."""

from typing import Any

from lm.cli import command


@command("evaluate")
def main(cfg: Any) -> None:
    from lm.apply import evaluate

    evaluate(cfg)


if __name__ == "__main__":
    main()
