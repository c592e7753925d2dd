"""The benchmark: sections of rivals, a table for the eye, ratios for the record."""

from __future__ import annotations

import logging
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from lm.benchmark.plain import PlainModel, plain_reading, plain_sampling
from lm.benchmark.sizes import Sizes
from lm.benchmark.timing import Timing, interleaved, ratio
from lm.benchmark.training import FloorRival, LightningRival, PlainRival, StepRival
from lm.build import build
from lm.data.encoding import encode, encode_cached
from lm.data.sources import TextFiles
from lm.data.synthetic import MarkovSource
from lm.data.vocab import EOS, UNK, Vocab
from lm.errors import UserError
from lm.precision import best_precision
from lm.report import write_json
from lm.sampling import Sampler, generate

SECTIONS = ("training", "sampling", "reading", "startup")
GOALS = {
    "train_vs_plain": 2.0, "train_vs_plain_fp32": 1.05, "step_vs_floor": 0.82, "train_vs_step": 0.97,
    "sample_1_vs_plain": 2.5, "sample_64_vs_plain": 30.0, "encode_vs_plain": 5.0,
}  # fmt: skip
"""Ratios aimed at on two cores with bf16 instructions; without them `train_vs_plain` is the fp32 one's."""


def benchmark(cfg: DictConfig) -> None:
    """Measure, print a table, and write the figures as JSON where `out` says so."""
    settings: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    out, sizes = settings.pop("out"), build(settings.pop("sizes"), "sizes")
    result = run(**settings, sizes=sizes)
    print(table(result))
    if out:
        write_json(Path(out).expanduser(), result)


def run(sections: list[str], rounds: int, windows: int, words: int, sizes: Sizes) -> dict[str, Any]:
    """Measure the named sections; medians in seconds, ratios larger = faster. Raises UserError for unknown sections."""
    if unknown := [name for name in sections if name not in SECTIONS]:
        raise UserError(f"sections: there is no {unknown[0]}; there is: {', '.join(SECTIONS)}")
    quiet()
    timings: dict[str, Timing] = {}
    ratios: dict[str, float] = {}
    precision = best_precision("cpu")
    with tempfile.TemporaryDirectory() as scratch:
        if "training" in sections:
            found = training(sizes, rounds, windows, precision, Path(scratch))
            timings |= found
            ratios["train_vs_plain"] = ratio(found["plain"], found["train"])
            ratios["train_vs_plain_fp32"] = ratio(found["plain"], found["train_fp32"])
            ratios["step_vs_floor"] = ratio(found["floor"], found["step"])
            ratios["train_vs_step"] = ratio(found["step"], found["train"])
        if "sampling" in sections:
            found = sampling(sizes, rounds, words)
            timings |= found
            ratios["sample_1_vs_plain"] = ratio(found["sample_plain"], found["sample_1"])
            ratios["sample_64_vs_plain"] = ratio(found["sample_plain"], found["sample_64"])
        if "reading" in sections:
            found = reading(rounds, Path(scratch))
            timings |= found
            ratios["encode_vs_plain"] = ratio(found["read_plain"], found["encode"])
        if "startup" in sections:
            timings |= startup(rounds)
    return {
        "precision": precision,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "medians": {name: timing.median for name, timing in timings.items()},
        "ranges": {name: [timing.low, timing.high] for name, timing in timings.items()},
        "ratios": ratios,
    }


def training(sizes: Sizes, rounds: int, windows: int, precision: str, scratch: Path) -> dict[str, Timing]:
    """Seconds a window."""
    bf16 = torch.bfloat16 if precision.startswith("bf16") else torch.float32
    rivals: dict[str, Callable[[], object]] = {
        "plain": PlainRival(sizes, windows),
        "train": LightningRival(sizes, windows, precision, scratch / "train"),
        "step": StepRival(sizes, windows, precision),
        "floor": FloorRival(sizes, windows, bf16),
    }
    if precision != "32-true":
        rivals["train_fp32"] = LightningRival(sizes, windows, "32-true", scratch / "train_fp32")
    found = interleaved(rivals, rounds)
    return {"train_fp32": found["train"], **found}


def sampling(sizes: Sizes, rounds: int, words: int) -> dict[str, Timing]:
    """Seconds a word."""
    plain = PlainModel(sizes.vocab_size, sizes.embedding_size, sizes.hidden_size, sizes.num_layers)
    model = sizes.model()
    vocab = Vocab([EOS, UNK, *(str(i) for i in range(2, sizes.vocab_size))])

    def ours(sequences: int) -> None:
        generate(model, Sampler(max_new_tokens=words, num_return_sequences=sequences), vocab)

    found = interleaved(
        {
            "sample_plain": lambda: plain_sampling(plain, words),
            "sample_1": lambda: ours(1),
            "sample_64": lambda: ours(64),
        },
        rounds,
    )
    counts = {"sample_plain": words, "sample_1": words, "sample_64": 64 * words}
    return {name: Timing(*(seconds / counts[name] for seconds in timing)) for name, timing in found.items()}


def reading(rounds: int, scratch: Path) -> dict[str, Timing]:
    """Seconds for a training text of the Penn Treebank's size: the exercise's reader, ours, and ours from its cache."""
    train, rest = scratch / "train.txt", scratch / "rest.txt"
    train.write_text("".join(MarkovSource(words=10_000, tokens=930_000, alpha=0.01).pieces("train")))
    rest.write_text("a few words\n")
    files = TextFiles(train, rest, rest)
    return interleaved(
        {
            "read_plain": lambda: plain_reading(train),
            "encode": lambda: encode(files),
            "encode_cached": lambda: encode_cached(files),
        },
        rounds,
    )


def startup(rounds: int) -> dict[str, Timing]:
    """Seconds of whole processes: `--help`, and the imports behind sampling and training."""

    def process(*arguments: str) -> Callable[[], object]:
        return lambda: subprocess.run([sys.executable, *arguments], check=True, capture_output=True)

    root = Path(__file__).resolve().parent.parent.parent
    return interleaved(
        {
            "help": process(str(root / "train.py"), "--help"),
            "import_sampling": process("-c", "import lm.apply"),
            "import_training": process("-c", "import lm.run"),
        },
        rounds,
    )


def quiet() -> None:
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")


def table(result: dict[str, Any]) -> str:
    """The figures for the eye."""
    lines = [f"precision {result['precision']}, torch {result['torch']}, {result['threads']} threads", ""]
    lines.append(f"{'':<18}{'median':>12}{'lowest':>12}{'highest':>12}")
    for name, seconds in result["medians"].items():
        low, high = result["ranges"][name]
        lines.append(f"{name:<18}" + "".join(f"{1000 * value:>9.3f} ms" for value in (seconds, low, high)))
    lines += ["", f"{'ratio':<22}{'here':>8}{'goal':>8}"]
    for name, value in result["ratios"].items():
        lines.append(f"{name:<22}{value:>8.2f}{GOALS[name]:>8.2f}")
    return "\n".join(lines)
