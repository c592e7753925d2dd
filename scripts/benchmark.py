"""How fast, against the plain loop and the floor of bare matrix products: `python scripts/benchmark.py`."""

from typing import Any

from lm.cli import command


@command("benchmark")
def main(cfg: Any) -> None:
    from lm.benchmark.suite import benchmark

    benchmark(cfg)


if __name__ == "__main__":
    main()
