"""How far words lie apart: `python scripts/distance.py checkpoint=PATH words=[army,taxpayer]`."""

from typing import Any

from lm.cli import command


@command("distance")
def main(cfg: Any) -> None:
    from lm.apply import distances

    distances(cfg)


if __name__ == "__main__":
    main()
