"""Text from a trained model: `python scripts/sample.py checkpoint=PATH prompt="the company"`."""

from typing import Any

from lm.cli import command


@command("sample")
def main(cfg: Any) -> None:
    from lm.apply import sample

    sample(cfg)


if __name__ == "__main__":
    main()
