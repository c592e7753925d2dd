"""Builds Lightning's part of a run: callbacks, the trainer and the LightningModule; translates Lightning's errors."""

from __future__ import annotations

import logging
import signal
import sys
import warnings
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers.logger import DummyLogger
from pytorch_lightning.utilities.exceptions import MisconfigurationException, SIGTERMException

from lm.config.build import build
from lm.config.schemas import PROFILE, TBPTT, Accelerator, Regularisation, without_profile
from lm.data.corpus import Corpus
from lm.data.streams import limited
from lm.models.interfaces import LanguageModel
from lm.system.errors import UserError, out_of_memory
from lm.system.ranks import ALONE, Ranks
from lm.system.signals import Interrupted
from lm.training.callbacks.profile import Profile
from lm.training.callbacks.progress import Bar, Progress
from lm.training.callbacks.save_checkpoints import Checkpoint
from lm.training.callbacks.signal_handover import SignalHandover
from lm.training.callbacks.start_of_training import StartOfTraining
from lm.training.curve_file import CurveFile
from lm.training.data_parallel import for_trainer, leave_signals_to_us
from lm.training.module import LanguageModule
from lm.training.run_context import RunContext

INTERVALS = (100, 50, 20, 10, 5, 2, 1)
"""The windows between two points of the training curves, if they are not set: the first that gives `POINTS` points."""
POINTS = 50


def make_trainer(
    config: dict[str, Any],
    context: RunContext,
    precision: str | int | None,
    begin: Callable[[], None],
    ranks: Ranks = ALONE,
) -> pl.Trainer:
    """Build the trainer with the configured callbacks and loggers. The trainer calls `begin` when training begins.

    Only the first rank shows and writes; the others have no logger, and of this project's callbacks `Checkpoint` alone.

    Raises UserError for settings that Lightning refuses.
    """
    parts: dict[str, list[Any]] = {
        group: [
            build(node, f"{group}.{name}", vars(context)) for name, node in config[group].items() if node is not None
        ]
        for group in (("callbacks", "logger") if ranks.first else ("callbacks",))
    }
    if not ranks.first:
        parts["callbacks"] = [callback for callback in parts["callbacks"] if takes_part(callback)]
    saves = any(isinstance(callback, Checkpoint) for callback in parts["callbacks"])
    # A progress bar on a terminal; lines in a log file.
    watched = [callback for callback in parts["callbacks"] if isinstance(callback, Progress) and sys.stderr.isatty()]
    profile = [Profile(context.run_dir)] if config["trainer"].get(PROFILE) and ranks.first else []
    first = [StartOfTraining(begin), SignalHandover(context.stop, not saves, ranks)]
    available = {
        "callbacks": [*first, *parts["callbacks"], *profile, *map(Bar, watched)],
        "logger": [*parts["logger"], CurveFile(context.run_dir)] if ranks.first else DummyLogger(),
        "default_root_dir": context.run_dir,
        "enable_progress_bar": bool(watched),
        "enable_checkpointing": saves,
        "num_sanity_val_steps": 0,
        **for_trainer(Accelerator(**config["accelerator"]), ranks),
        "precision": precision,
    }
    try:
        trainer: pl.Trainer = build(without_profile(config["trainer"]), "trainer", available)
    except ValueError as error:
        raise UserError(f"trainer / accelerator: {' '.join(str(error).split())}") from None
    if ranks.size > 1:
        leave_signals_to_us(trainer)
    return trainer


def takes_part(callback: pl.Callback) -> bool:
    """Whether a callback is needed on every rank: one that saves the whole batch's state, or Lightning's own."""
    return isinstance(callback, Checkpoint) or not type(callback).__module__.startswith("lm.")


def make_module(
    config: dict[str, Any], corpus: Corpus, model: LanguageModel, trainer: pl.Trainer, ranks: Ranks = ALONE
) -> LanguageModule:
    forcing, tbptt = build(config["forcing"], "forcing"), TBPTT(**config["tbptt"])
    windows = limited(len(corpus.train), trainer.limit_train_batches)
    per_window = config["data"]["window"] if forcing.update == "token" else 1
    per_epoch = -(-windows * per_window // tbptt.windows)
    if config["trainer"].get("log_every_n_steps") is None:  # before this, the trainer has Lightning's default
        trainer.log_every_n_steps = log_interval(windows * (trainer.max_epochs or 1))  # type: ignore[attr-defined]
    return LanguageModule(
        model,
        forcing,
        build(config["optim"], "optim"),
        updates_per_epoch=per_epoch,
        epochs=trainer.max_epochs or 1,
        tbptt_windows=tbptt.windows,
        base_length=config["data"]["window"] if tbptt.random_length else None,
        state_reset=tbptt.reset,
        regularisation=Regularisation(**config.get("regularisation", {})),
        unk=corpus.vocab.unk,
        ranks=ranks,
    )


def log_interval(windows: int) -> int:
    """The number of windows between two points of the training curves, in a run of so many windows."""
    return next((n for n in INTERVALS if -(-windows // n) >= POINTS), 1)


def quiet_libraries() -> None:
    """Silence Lightning's notes and two warnings, so that they do not mix with the run's own messages."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")  # Lightning 2.6 on torch 2.13
    warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")  # window 0 is always logged
    warnings.filterwarnings("ignore", message=".*Embedding dir exists.*")  # of an earlier start: it is written anew
    warnings.filterwarnings("ignore", message=".*sync_dist=True.*")  # all ranks have the first one's figures


def as_user_error(error: BaseException) -> BaseException:
    """Turn an error that the user's settings caused into a UserError, a signal into Interrupted; keep any others."""
    text = " ".join(str(error).split())
    if isinstance(error, SIGTERMException):  # a signal before `SignalHandover` replaced Lightning's handlers
        return Interrupted(signal.SIGTERM)
    if isinstance(error, MisconfigurationException):
        return UserError(f"trainer / accelerator: {text}")
    if out_of_memory(error):
        return UserError("out of memory: lower data.batch_size, data.window, tbptt.windows or the sizes of the model")
    return error
