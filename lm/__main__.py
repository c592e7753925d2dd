"""Runs every command from any folder: `python -m lm train +experiment=quickstart`."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from lm.cli.command import command
from lm.config.unknown_key import did_you_mean
from lm.system.terminal import aligned

COMMANDS = {
    "train": "train a language model, test it, sample from it",
    "sample": "draw text from a trained model",
    "evaluate": "nats, tokens and perplexity of a text under a trained model",
    "score": "surprisal of sentences, each by itself, or which of two is the more probable",
    "distance": "distances between words, and each word's nearest neighbours",
    "export": "a model to ship: safetensors, vocabulary and model card, or an ONNX step",
    "describe": "what a corpus holds: tokens, unknown words, lines in two splits",
    "compare": "a report that compares runs",
    "plot": "a figure of runs' curves, fit for a paper",
    "tbptt": "a report on what detaching the state saves",
    "benchmark": "speed, compared with a plain loop and with bare matrix products",
}


def run(name: str) -> None:
    """Run the command `name` with this process's arguments, then exit."""

    def task(cfg: Any) -> Any:
        # Torch and Lightning take seconds to import, and --help does not need them.
        return getattr(importlib.import_module(f"lm.commands.{name}"), name)(cfg)

    command(name, task)


def main() -> None:
    name, *rest = sys.argv[1:] or ["--help"]
    if name in ("--help", "-h"):
        print("python -m lm COMMAND [settings]; each has its own --help\n")
        print("\n".join(f"  {line}" for line in aligned(list(COMMANDS.items()), "ll")))
    elif name in COMMANDS:
        sys.argv[1:] = rest
        run(name)
    else:
        sys.exit(f"error: {name}: there is no such command. {did_you_mean(name, COMMANDS)}")


if __name__ == "__main__":
    main()
