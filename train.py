"""Train a language model: `python train.py --help`."""

from typing import Any

from lm.cli import command


@command("train")
def main(cfg: Any) -> float:
    from lm.run import train  # torch and Lightning take seconds to import: --help does without them

    return train(cfg)


if __name__ == "__main__":
    main()
