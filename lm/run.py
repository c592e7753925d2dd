"""From a configuration to a finished run: the only place that instantiates."""

from __future__ import annotations

import logging
import shlex
import signal
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities.exceptions import MisconfigurationException, SIGTERMException

from lm import report, resume
from lm.allocator import keep_freed_memory
from lm.build import MISSING, build
from lm.callbacks.checkpoint import Checkpoint
from lm.callbacks.evaluation import FreeRunningTest
from lm.callbacks.profile import Profile
from lm.callbacks.progress import Bar, Progress
from lm.callbacks.stopping import Stopping
from lm.callbacks.tensorboard import TextSamples
from lm.checkpoint import FOLDER, find, load_weights, read
from lm.config import AVAILABLE, PROFILE, TBPTT, composed, validate, without_profile
from lm.data.sources import SPLITS
from lm.data.streams import limited
from lm.devices import device
from lm.errors import UserError
from lm.interrupt import Interrupted, StopRequest, listening
from lm.module import LanguageModule
from lm.precision import training_precision
from lm.progress import say
from lm.regularisation import Regularisation

UNFINISHED = "the run did not reach its end: it was killed, or is still running"


def train(cfg: DictConfig, run_dir: Path | None = None) -> float:
    """Train, validate each epoch, test the best checkpoint, sample; everything into the run's folder (Hydra's if None).

    Returns the best validation perplexity, for sweepers. result.json is there from the start, so that a killed run
    is told from a finished one; a mistake noticed before anything begins leaves that of an earlier run alone. A job
    that a sweep's folder holds finished already is kept as it is.
    """
    quiet_libraries()
    run_dir = (run_dir or Path(HydraConfig.get().runtime.output_dir)).resolve()
    config = plain(cfg)
    checkpoint, overrides = config.pop("checkpoint", None), typed_overrides()
    config["data"] = with_absolute_paths(config["data"])
    if config.get("weights_from"):
        config["weights_from"] = str(Path(config["weights_from"]).expanduser().resolve())
    earlier, holds_run = report.read_result(run_dir), any((run_dir / FOLDER).glob("*.ckpt"))
    if sweeping() and earlier.get("config") == config and earlier["status"] == "completed":
        say(f"kept: {run_dir} is finished already")
        return report.score(earlier)
    if holds_run and checkpoint is None:
        if not sweeping():
            raise UserError(
                f"{run_dir} already holds a run: go on with checkpoint=last, or choose another folder with "
                "hydra.run.dir=DIR"
            )
        checkpoint = "last"

    result: dict[str, Any] = {"status": "failed", "error": UNFINISHED, "seed": config.get("seed"), "config": config}
    result |= {"overrides": overrides, "resumed_at": earlier.get("resumed_at", []) if holds_run else []}
    saved: dict[str, Any] = {}  # what the checkpoint to go on from holds
    started, began = time.perf_counter(), False
    try:
        start = resume.starting_point(checkpoint, run_dir)
        if start is not None:
            saved = read(start)
            config = result["config"] = resumed_config(config, overrides, start, saved, result)
        elif checkpoint == "last":
            say(f"{run_dir} holds no checkpoint yet: starting afresh")
        if start is not None and holds_run and not in_folder(start, run_dir):
            raise UserError(f"{run_dir} holds another run than {start}: choose another folder with hydra.run.dir=DIR")
        validate(config)
        began = True
        report.write_json(run_dir / report.RESULT, result)
        with listening() as stop:
            result |= _train(config, run_dir, start, saved, stop, again=bool(earlier))
            result |= {"status": "completed", "error": None}
            print(report.summary({**result, "seconds": time.perf_counter() - started}, run_dir))
            stop.obey()  # the run is finished; a sweep is not to go on
    except Interrupted as interrupted:
        if result["status"] != "completed":
            result["error"] = f"{interrupted}; go on with checkpoint={run_dir}"
            interrupted.add_note(f"go on with: python train.py {shlex.quote(f'checkpoint={run_dir}')}")
        raise
    except BaseException as error:
        error = told(error)
        result["error"] = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        raise error from None
    finally:
        result["seconds"] = time.perf_counter() - started
        if began or not holds_run:
            report.write_json(run_dir / report.RESULT, result)
    return report.score(result)


def _train(
    config: dict[str, Any], run_dir: Path, start: Path | None, saved: dict[str, Any], stop: StopRequest, again: bool
) -> dict[str, Any]:
    """`saved`: what the checkpoint `start` holds; empty without one.

    `again`: the folder holds what an earlier start of this run left behind.
    """
    kind = device(config["accelerator"]["accelerator"]).type  # said before anything is read or built
    update = config["forcing"].get("update", "window")
    precision, line = training_precision(kind, config["accelerator"]["precision"], update)
    say(line)
    keep_freed_memory()
    pl.seed_everything(config["seed"], verbose=False)
    data = build(config["data"], "data")
    if TBPTT(**config["tbptt"]).random_length:
        data.randomise_windows(config["seed"])
    model = build(config["model"], "model", {"vocab_size": len(data.vocab)})
    model.head.prepare(torch.from_numpy(np.bincount(data.ids["train"], minlength=len(data.vocab))))
    here = start is not None and in_folder(start, run_dir)
    if start is not None:
        resume.same_text(saved, data.vocab, data.ids, start)
        load_weights(model, saved, start)  # Lightning does it again; here a misfit gets a sentence
        if not here:
            resume.bring_along(start, run_dir)
    elif config.get("weights_from"):
        resume.take_weights(model, config["weights_from"], data.vocab)
    else:
        build(config["init"], "init").apply(model, data.ids["train"])
    if here or again:
        resume.settle_events(run_dir, saved["events"] if here else {})
    sampler = build(config["sampler"], "sampler")
    swept = typed_overrides() if sweeping() else []
    at_hand = (str(run_dir), str(run_dir), data.vocab, config, stop, sampler, config["seed"], not here, swept)
    available = dict(zip(AVAILABLE, at_hand, strict=True))
    callbacks = [build(node, f"callbacks.{name}", available) for name, node in config["callbacks"].items() if node]
    loggers = [build(node, f"logger.{name}", available) for name, node in config["logger"].items() if node]
    checkpoint = next((callback for callback in callbacks if isinstance(callback, Checkpoint)), None)
    stopping = Stopping(stop, obeys=checkpoint is None)
    callbacks += [Profile(str(run_dir))] if config["trainer"].get(PROFILE) else []
    accelerator = {**config["accelerator"], "precision": precision}
    trainer = make_trainer(config, accelerator, [stopping, *callbacks, *bars(callbacks)], loggers, run_dir)
    module = make_module(config, data, model, trainer)
    trainer.fit(module, datamodule=data, ckpt_path=start, weights_only=True)

    best = find(run_dir) if any((run_dir / FOLDER).glob("*.ckpt")) else None  # none with ~callbacks.checkpoint
    if best is not None:
        load_weights(module.model, read(best), best)
    trainer.test(module, datamodule=data, verbose=False)
    samples = next((callback.draw(module) for callback in callbacks if isinstance(callback, TextSamples)), [])
    progress = next((callback for callback in callbacks if isinstance(callback, Progress)), None)
    test = module.scores["test"].as_dict() if "test" in module.scores else {}
    scores = {"valid": checkpoint.best_score if checkpoint else {}, "test": test}
    for free_running in (callback for callback in callbacks if isinstance(callback, FreeRunningTest)):
        for split, score in free_running.scores.items():
            scores[split]["free_running"] = score.as_dict()
    for logger in loggers:
        if checkpoint and checkpoint.best_epoch:
            logger.log_metrics({"best/valid_perplexity": checkpoint.best}, step=module.windows)
        logger.finalize("success")
    return {
        **scores,
        "best": {"checkpoint": str(best) if best else None, "epoch": checkpoint.best_epoch if checkpoint else None},
        "precision": precision,
        "training": {name: getattr(module, name) for name in ("windows", "tokens", "updates", "seconds")},
        "tokens_per_second": progress.pace.rate * data.tokens_per_window if progress else None,
        "samples": samples,
    }


def resumed_config(
    config: dict[str, Any], overrides: list[str], start: Path, saved: dict[str, Any], result: dict[str, Any]
) -> dict[str, Any]:
    """The configuration of the run that goes on from `start`; notes the resumption in `result`."""
    explicit = [override.partition("=")[0].lstrip("+~") for override in overrides]
    merged = resume.merged(saved["config"], config, plain(composed("train")), explicit, start)
    result["resumed_at"] = [*result["resumed_at"], saved["global_step"]]
    result["seed"] = merged["seed"]
    say(f"going on from {start} at window {saved['training']['windows']:,}")
    return merged


def told(error: BaseException) -> BaseException:
    """An error as a UserError, where it is known to be about what was asked for and not about this program."""
    text = " ".join(str(error).split())
    if isinstance(error, SIGTERMException):  # Lightning was quicker than lm.callbacks.stopping
        return Interrupted(signal.SIGTERM)
    if isinstance(error, MisconfigurationException):
        return UserError(f"trainer / accelerator: {text}")
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "not enough memory" in text:
        return UserError("out of memory: lower data.batch_size, data.window, tbptt.windows or the sizes of the model")
    return error


def in_folder(start: Path, run_dir: Path) -> bool:
    """Whether a checkpoint is one of the run's own."""
    return start.resolve().parent.parent == run_dir


def make_module(config: dict[str, Any], data: Any, model: Any, trainer: pl.Trainer) -> LanguageModule:
    forcing, tbptt = build(config["forcing"], "forcing"), TBPTT(**config["tbptt"])
    windows = limited(len(data.train_dataloader()), trainer.limit_train_batches)
    per_window = config["data"]["window"] if forcing.update == "token" else 1
    per_epoch = -(-windows * per_window // tbptt.windows)
    return LanguageModule(
        model,
        forcing,
        build(config["optim"], "optim"),
        updates_per_epoch=per_epoch,
        total_updates=per_epoch * (trainer.max_epochs or 1),
        tbptt_windows=tbptt.windows,
        base_length=config["data"]["window"] if tbptt.random_length else None,
        state_reset=tbptt.reset,
        regularisation=Regularisation(**config.get("regularisation", {})),
    )


def make_trainer(
    config: dict[str, Any], accelerator: dict[str, Any], callbacks: list[Any], loggers: list[Any], run_dir: Path
) -> pl.Trainer:
    available = {
        "callbacks": callbacks,
        "logger": loggers,
        "default_root_dir": str(run_dir),
        "enable_progress_bar": any(isinstance(callback, Bar) for callback in callbacks),
        "enable_checkpointing": any(isinstance(callback, Checkpoint) for callback in callbacks),
        "num_sanity_val_steps": 0,
        **accelerator,
    }
    try:
        trainer: pl.Trainer = build(without_profile(config["trainer"]), "trainer", available)
    except ValueError as error:
        raise UserError(f"trainer / accelerator: {' '.join(str(error).split())}") from None
    return trainer


def bars(callbacks: list[Any]) -> list[Bar]:
    """A progress bar where a person looks on; a log file gets lines instead."""
    return [Bar(callback) for callback in callbacks if isinstance(callback, Progress) and sys.stderr.isatty()]


def plain(cfg: DictConfig) -> dict[str, Any]:
    """A configuration as plain containers; a group that was taken out (`~logger`) is an empty one."""
    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    return {**config, **{group: {} for group in ("callbacks", "logger") if config.get(group) in (None, MISSING)}}


def sweeping() -> bool:
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def typed_overrides() -> list[str]:
    """The settings of this job as typed, in a sweep its own share of them."""
    return list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []


def with_absolute_paths(data: Any) -> Any:
    """The files of `data=text` as absolute paths: a checkpoint is used from other folders too."""
    if not isinstance(data, dict):
        return data
    files = {split: data[split] for split in SPLITS if data.get(split) not in (None, MISSING)}
    return {**data, **{split: str(Path(str(file)).expanduser().resolve()) for split, file in files.items()}}


def quiet_libraries() -> None:
    """Keep Lightning's notes about itself from between the lines that the user wants to read."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")  # Lightning 2.6 on torch 2.13
    warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")  # window 0 is always logged
