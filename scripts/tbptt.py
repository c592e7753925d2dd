"""What detaching the state buys, measured and drawn: `python scripts/tbptt.py [out=DIR]`."""

from typing import Any

from lm.cli import command


@command("tbptt")
def main(cfg: Any) -> None:
    from lm.truncation.suite import tbptt

    tbptt(cfg)


if __name__ == "__main__":
    main()
