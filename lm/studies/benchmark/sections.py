"""The sections of the benchmark: each function times the implementations of one task."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from lm.data.encoding import encode, encode_cached
from lm.data.sources.text_files import TextFiles
from lm.data.tokenisers import EOS, UNK
from lm.data.vocabulary import Vocab
from lm.evaluation.sentences import score_sentences
from lm.models.kernels.int8 import int8_weights
from lm.models.recurrent_language_model import RecurrentLanguageModel
from lm.sampling.generate import generate
from lm.sampling.sampler import Sampler
from lm.studies.benchmark.floor import FloorRival
from lm.studies.benchmark.plain import (
    PlainFreeRunning,
    PlainModel,
    PlainTokenTraining,
    plain_reading,
    plain_sampling,
)
from lm.studies.benchmark.processes import Apart
from lm.studies.benchmark.sizes import Sizes
from lm.studies.benchmark.text import TEXT_TOKENS, zipf_text
from lm.studies.benchmark.timing import Timing, interleaved
from lm.studies.benchmark.training import LightningRival, PlainRival, StepRival
from lm.training.forcing.forcing import Forcing

SENTENCES, ALONE = 2000, 100  # sentences that are scored together, and one by one
OWN_WORDS = 1  # windows in a call; one of the baseline's has 30 updates


def training(sizes: Sizes, rounds: int, windows: int, precision: str, scratch: Path) -> dict[str, Timing]:
    """Seconds per training window of each implementation, with teacher forcing and one update per window."""
    with ExitStack() as stack:
        rivals = {
            "plain": stack.enter_context(Apart(PlainRival, sizes, windows)),
            "train": stack.enter_context(Apart(LightningRival, sizes, windows, precision, scratch / "train")),
            "step": stack.enter_context(Apart(StepRival, sizes, windows, precision)),
            "step_own": stack.enter_context(Apart(StepRival, sizes, windows, precision, None, "own")),
            "step_onednn": stack.enter_context(Apart(StepRival, sizes, windows, precision, None, "onednn")),
            "floor": stack.enter_context(Apart(FloorRival, sizes, windows, precision)),
        }
        if precision != "32-true":
            exact = Apart(LightningRival, sizes, windows, "32-true", scratch / "train_fp32")
            rivals["train_fp32"] = stack.enter_context(exact)
        found = interleaved(rivals, rounds)
    return {"train_fp32": found["train"], **found}


def tokens(sizes: Sizes, rounds: int, precision: str, scratch: Path) -> dict[str, Timing]:
    """Seconds per training window of each implementation; the model reads its own words.

    With one update per token (`token`), or one per window (`free`: free running).
    """
    by_token, free = (Forcing(feedback="argmax", update=update) for update in ("token", "window"))
    with ExitStack() as stack:
        rivals = {
            "plain_token": Apart(PlainRival, sizes, OWN_WORDS, PlainTokenTraining),
            "train_token": Apart(LightningRival, sizes, OWN_WORDS, "32-true", scratch / "tokens", by_token),
            "plain_free": Apart(PlainRival, sizes, OWN_WORDS, PlainFreeRunning),
            "train_free": Apart(LightningRival, sizes, OWN_WORDS, precision, scratch / "free", free),
        }
        return interleaved({name: stack.enter_context(rival) for name, rival in rivals.items()}, rounds)


def sampling(sizes: Sizes, rounds: int, words: int) -> dict[str, Timing]:
    """Seconds per sampled word: the classic exercise's loop, this project with 8-bit weights, this project in fp32."""
    plain = PlainModel(sizes.vocab_size, sizes.embedding_size, sizes.hidden_size, sizes.num_layers)
    exact, rounded = sizes.model(), sizes.model()
    vocab = Vocab([EOS, UNK, *(str(i) for i in range(2, sizes.vocab_size))])

    def ours(model: RecurrentLanguageModel, sequences: int) -> Callable[[], object]:
        return lambda: generate(model, Sampler(max_new_tokens=words, num_return_sequences=sequences), vocab)

    with int8_weights(rounded):
        found = interleaved(
            {
                "sample_plain": lambda: plain_sampling(plain, words),
                "sample_1": ours(rounded, 1),
                "sample_64": ours(rounded, 64),
                "sample_1_fp32": ours(exact, 1),
                "sample_64_fp32": ours(exact, 64),
            },
            rounds,
        )
    counts = {name: words * (64 if "64" in name else 1) for name in found}
    return {name: timing.per(counts[name]) for name, timing in found.items()}


def reading(rounds: int, scratch: Path) -> dict[str, Timing]:
    """Seconds to read a text of the Penn Treebank's size: by the exercise's reader, and ours without or with cache."""
    train, rest = scratch / "train.txt", scratch / "rest.txt"
    train.write_text(zipf_text(TEXT_TOKENS))
    rest.write_text("a few words\n")
    files = TextFiles(train, rest, rest)
    return interleaved(
        {
            "read_plain": lambda: plain_reading(train),
            "encode": lambda: encode(files),
            # Not in the user's cache: this text is temporary.
            "encode_cached": lambda: encode_cached(files, cache=scratch),
        },
        rounds,
    )


def scoring(sizes: Sizes, rounds: int) -> dict[str, Timing]:
    """Seconds per sentence of eight words: many read at a time, and one by one. Each word has its entropy too."""
    model = sizes.model()
    vocab = Vocab([EOS, UNK, *(str(i) for i in range(2, sizes.vocab_size))])
    drawn = np.random.default_rng(0).integers(0, sizes.vocab_size, (SENTENCES, 8)).tolist()
    lines = [" ".join(vocab.words[i] for i in row) for row in drawn]
    found = interleaved(
        {
            "score": lambda: list(score_sentences(model, vocab, lines)),
            "score_one_by_one": lambda: [next(score_sentences(model, vocab, [line])) for line in lines[:ALONE]],
        },
        rounds,
    )
    return {"score": found["score"].per(SENTENCES), "score_one_by_one": found["score_one_by_one"].per(ALONE)}


def startup(rounds: int) -> dict[str, Timing]:
    """Seconds of processes that only start: `--help`, the imports of sampling and of training, Lightning's import."""

    def process(*arguments: str) -> Callable[[], object]:
        return lambda: subprocess.run([sys.executable, *arguments], check=True, capture_output=True)

    return interleaved(
        {
            "help": process("-m", "lm", "train", "--help"),
            "import_sampling": process("-c", "import lm.commands.sample"),
            "import_training": process("-c", "import lm.commands.train"),
            "import_lightning": process("-c", "import pytorch_lightning"),
        },
        rounds,
    )
