"""Compare training and sampling with the plain loop, all on one GPU: seconds, tokens/s, share of the GPU's peak."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from lm.data.tokenisers import EOS, UNK
from lm.data.vocabulary import Vocab
from lm.models import RecurrentLanguageModel
from lm.sampling import Sampler, generate
from lm.studies.benchmark.plain import PlainModel, plain_sampling
from lm.studies.benchmark.sizes import Sizes
from lm.studies.benchmark.timing import Timing, interleaved, ratio, wait
from lm.studies.benchmark.training import LightningRival, PlainRival
from lm.system.precision import best_precision
from lm.system.terminal import aligned, say

MODELS = {
    "1 x 1024": Sizes(),
    "2 x 650": Sizes(window=35, embedding_size=650, hidden_size=650, num_layers=2),
    "3 x 1150": Sizes(window=70, embedding_size=400, hidden_size=1150, num_layers=3),
}
SEQUENCES = (1, 64, 1024)
FORMS = {"milliseconds_a_window": ".3f", "tokens_per_second": ",.0f", "seconds_an_epoch": ".1f", "share_of_peak": ".1%"}
EPOCH_TOKENS = 929_589
"""Number of tokens in the training text of the Penn Treebank."""


@dataclass(frozen=True)
class Load:
    """How much the benchmark on one GPU measures.

    Args:
        models: the sizes of each model, by name.
        sequences: batch sizes of sampling: numbers of sequences that are generated at once.
        rounds: how often each implementation is timed.
        windows: training windows per round.
        words: sampled words per round.
        side: number of rows, and of columns, of the matrices that measure the GPU's peak.
    """

    models: Mapping[str, Sizes]
    sequences: Sequence[int] = SEQUENCES
    rounds: int = 3
    windows: int = 200
    words: int = 100
    side: int = 8192


TINY = Sizes(batch_size=2, window=3, embedding_size=4, hidden_size=5, vocab_size=40)
DRY = Load({name: replace(TINY, num_layers=sizes.num_layers) for name, sizes in MODELS.items()}, (1, 2), 1, 2, 2, 64)


def card(device: torch.device, load: Load, scratch: Path) -> dict[str, Any]:
    """Measure all on `device`. Seconds are medians over rounds; a ratio above 1 is faster than the plain loop."""
    bf16 = best_precision(device.type)
    peaks = {"fp32": peak(torch.float32, device, load.side), "bf16": peak(torch.bfloat16, device, load.side)}
    rows = []
    timings: dict[str, Timing] = {}
    for name, sizes in load.models.items():
        say(f"training {name} ...")
        found = training(sizes, load, bf16, device, scratch / name.replace(" ", ""))
        timings = timings or found  # the ratios are those of the first model
        rows.append(row(name, sizes, found, peaks))
    say("sampling ...")
    timings |= sampling(next(iter(load.models.values())), load, device)
    pairs = {"train_vs_plain": ("plain", "train"), "train_vs_plain_fp32": ("plain", "train_fp32")}
    pairs |= {f"sample_{n}_vs_plain": ("sample_plain", f"sample_{n}") for n in load.sequences}
    return {
        "precision": bf16,
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "peak_tflops": {name: value / 1e12 for name, value in peaks.items()},
        "medians": {name: timing.median for name, timing in timings.items()},
        "ratios": {name: ratio(timings[slow], timings[fast]) for name, (slow, fast) in pairs.items()},
        "models": rows,
    }


def training(sizes: Sizes, load: Load, bf16: str, device: torch.device, scratch: Path) -> dict[str, Timing]:
    """Seconds per window of the exercise's training loop, and of training by train.py in fp32 and in `bf16`."""
    rivals: dict[str, Callable[[], object]] = {
        "plain": PlainRival(sizes, load.windows, device=device.type),
        "train": LightningRival(sizes, load.windows, bf16, scratch / "bf16", device=device.type),
        "train_fp32": LightningRival(sizes, load.windows, "32-true", scratch / "fp32", device=device.type),
    }
    return interleaved(rivals, load.rounds)


def row(name: str, sizes: Sizes, found: Mapping[str, Timing], peaks: Mapping[str, float]) -> dict[str, Any]:
    """One model's results. The share of the GPU's peak counts only the operations of matrix products."""
    tokens = sizes.batch_size * sizes.window
    windows = max(1, (EPOCH_TOKENS // sizes.batch_size - 1) // sizes.window)
    figures: dict[str, Any] = {"model": name, "vs_plain": ratio(found["plain"], found["train"])}
    for key, kind in (("plain", "fp32"), ("train_fp32", "fp32"), ("train", "bf16")):
        seconds = found[key].median
        figures[key] = {
            "milliseconds_a_window": 1000 * seconds,
            "tokens_per_second": tokens / seconds,
            "seconds_an_epoch": windows * seconds,
            "share_of_peak": sizes.flops / seconds / peaks[kind],
        }
    return figures


def sampling(sizes: Sizes, load: Load, device: torch.device) -> dict[str, Timing]:
    """Seconds per word of the exercise's sampling loop, and of this project's sampling for each batch size."""
    plain = PlainModel(sizes.vocab_size, sizes.embedding_size, sizes.hidden_size, sizes.num_layers).to(device)
    model = sizes.model().to(device)
    vocab = Vocab([EOS, UNK, *(str(i) for i in range(2, sizes.vocab_size))])

    def ours(model: RecurrentLanguageModel, sequences: int) -> Callable[[], object]:
        sampler = Sampler(max_new_tokens=load.words, num_return_sequences=sequences)
        return lambda: generate(model, sampler, vocab)

    rivals: dict[str, Callable[[], object]] = {"sample_plain": lambda: plain_sampling(plain, load.words)}
    rivals |= {f"sample_{n}": ours(model, n) for n in load.sequences}
    counts = {"sample_plain": load.words, **{f"sample_{n}": n * load.words for n in load.sequences}}
    return {name: timing.per(counts[name]) for name, timing in interleaved(rivals, load.rounds).items()}


@torch.no_grad()
def peak(dtype: torch.dtype, device: torch.device, side: int) -> float:
    """Measured floating-point operations per second of one large matrix product."""
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    shortest = float("inf")
    for _ in range(6):
        wait(device.type)
        start = time.perf_counter()
        a @ b
        wait(device.type)
        shortest = min(shortest, time.perf_counter() - start)
    return 2 * side**3 / shortest


def card_table(result: Mapping[str, Any]) -> str:
    """Format the results of the GPU benchmark as a text table."""
    peaks = ", ".join(f"{name} {value:.1f}" for name, value in result["peak_tflops"].items())
    rows = [("", "", "ms a window", "tokens/s", "s an epoch", "of peak", "vs plain")]
    for model in result["models"]:
        for key in ("plain", "train_fp32", "train"):
            cells = [f"{model[key][name]:{form}}" for name, form in FORMS.items()]
            rows.append((model["model"], key, *cells, f"{model['vs_plain']:.2f}" if key == "train" else ""))
    sampled = {name: seconds for name, seconds in result["medians"].items() if name.startswith("sample")}
    words = [(name, f"{1000 * seconds:.4f} ms a word") for name, seconds in sampled.items()]
    head = f"{result['device']}, torch {result['torch']}; peak in TFLOP/s: {peaks}"
    return "\n".join([head, "", *aligned(rows, "llrrrrr"), "", *aligned(words, "lr")])
