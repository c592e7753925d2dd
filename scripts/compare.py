"""A report of runs beside one another: `python scripts/compare.py runs=[DIR,DIR] out=comparison`."""

from typing import Any

from lm.cli import command


@command("compare")
def main(cfg: Any) -> None:
    from lm.comparison.compare import compare

    compare(cfg)


if __name__ == "__main__":
    main()
