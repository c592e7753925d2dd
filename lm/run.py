"""From a configuration to a finished run: the only place that instantiates."""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from lm import report, resume
from lm.build import MISSING, build
from lm.callbacks.checkpoint import Checkpoint
from lm.callbacks.evaluation import FreeRunningTest
from lm.callbacks.progress import Bar, Progress, say
from lm.callbacks.tensorboard import TextSamples
from lm.checkpoint import FOLDER, find, load, load_weights, read
from lm.config import AVAILABLE, composed, validate
from lm.data.sources import SPLITS
from lm.data.streams import limited
from lm.devices import device
from lm.errors import UserError
from lm.interrupt import Interrupted, StopRequest, listen
from lm.module import LanguageModule

UNFINISHED = "the run did not reach its end: it was killed, or is still running"


def train(cfg: DictConfig, run_dir: Path | None = None) -> float:
    """Train, validate each epoch, test the best checkpoint, sample; everything into the run's folder (Hydra's if None).

    Returns the best validation perplexity, for sweepers. result.json is there from the start, so that a killed run
    is told from a finished one. A job that a sweep's folder holds finished already is kept as it is.
    """
    quiet_libraries()
    run_dir = run_dir or Path(HydraConfig.get().runtime.output_dir)
    config = plain(cfg)
    checkpoint, overrides = config.pop("checkpoint"), typed_overrides()
    config["data"] = with_absolute_paths(config["data"])
    earlier = earlier_result(run_dir) if sweeping() else {}
    if earlier.get("config") == config and earlier["status"] == "completed":
        say(f"kept: {run_dir} is finished already")
        return float(earlier["valid"]["perplexity"])

    result: dict[str, Any] = {"status": "failed", "error": UNFINISHED, "seed": config["seed"], "config": config}
    result |= {"overrides": overrides, "resumed_at": []}
    started = time.perf_counter()
    checkpoint = checkpoint or wished_checkpoint(run_dir)
    try:
        start = resume.starting_point(checkpoint, run_dir)
        if checkpoint == "last" and start is None:
            say(f"{run_dir} holds no checkpoint yet: starting afresh")
        if start is not None:
            saved = read(start)
            explicit = [override.partition("=")[0].lstrip("+") for override in overrides]
            config = result["config"] = resume.merged(
                saved["config"], config, plain(composed("train")), explicit, start
            )
            result["resumed_at"] = [*resume.earlier_resumptions(run_dir), saved["global_step"]]
            say(f"going on from {start} at window {saved['training']['windows']:,}")
        result["seed"] = config["seed"]
        validate(config)
        report.write_json(run_dir / report.RESULT, result)
        with listen() as stop:
            result |= _train(config, run_dir, start, stop)
        result |= {"status": "completed", "error": None}
    except Interrupted as interrupted:
        result["error"] = f"{interrupted}; go on with checkpoint={run_dir}"
        interrupted.add_note(f"go on with: python train.py checkpoint={run_dir}")
        raise
    except BaseException as error:
        result["error"] = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        raise
    finally:
        result["seconds"] = time.perf_counter() - started
        report.write_json(run_dir / report.RESULT, result)
    print(report.summary(result, run_dir))
    return float(result["valid"].get("perplexity") or "inf")


def _train(config: dict[str, Any], run_dir: Path, start: Path | None, stop: StopRequest) -> dict[str, Any]:
    device(config["accelerator"]["accelerator"])  # said before anything is read or built
    pl.seed_everything(config["seed"], verbose=False)
    data = build(config["data"], "data")
    model = build(config["model"], "model", {"vocab_size": len(data.vocab)})
    saved = read(start) if start is not None else {}
    if start is not None:
        load_weights(model, saved, start)  # Lightning does it again; here a misfit gets a sentence
    sampler = build(config["sampler"], "sampler")
    here = start is not None and start.parent.parent == run_dir
    resume.settle_events(run_dir, saved["events"] if here else {})
    swept = typed_overrides() if sweeping() else []
    at_hand = (str(run_dir), str(run_dir), data.vocab, config, stop, sampler, config["seed"], not here, swept)
    available = dict(zip(AVAILABLE, at_hand, strict=True))
    callbacks = [build(node, f"callbacks.{name}", available) for name, node in config["callbacks"].items() if node]
    loggers = [build(node, f"logger.{name}", available) for name, node in config["logger"].items() if node]
    trainer = make_trainer(config, [*callbacks, *bars(callbacks)], loggers, run_dir)
    module = make_module(config, data, model, trainer)
    trainer.fit(module, datamodule=data, ckpt_path=start, weights_only=True)

    best = find(run_dir if (run_dir / FOLDER).is_dir() else start or run_dir)
    module.model.load_state_dict(load(best).model.state_dict())
    trainer.test(module, datamodule=data, verbose=False)
    checkpoint = next((callback for callback in callbacks if isinstance(callback, Checkpoint)), None)
    samples = next((callback.draw(module) for callback in callbacks if isinstance(callback, TextSamples)), [])
    progress = next((callback for callback in callbacks if isinstance(callback, Progress)), None)
    scores = {"valid": checkpoint.best_score if checkpoint else {}, "test": module.scores["test"].as_dict()}
    for free_running in (callback for callback in callbacks if isinstance(callback, FreeRunningTest)):
        for split, score in free_running.scores.items():
            scores[split]["free_running"] = score.as_dict()
    for logger in loggers:
        if checkpoint and checkpoint.best_epoch:
            logger.log_metrics({"best/valid_perplexity": checkpoint.best}, step=module.windows)
        logger.finalize("success")
    return {
        **scores,
        "best": {"checkpoint": str(best), "epoch": checkpoint.best_epoch if checkpoint else None},
        "tokens_per_second": progress.pace.rate * data.tokens_per_window if progress else None,
        "samples": samples,
    }


def wished_checkpoint(run_dir: Path) -> str | None:
    """Where to begin if nothing was said: afresh, in a sweep started again from each job's last checkpoint.

    Raises UserError rather than write over a run that the folder holds already.
    """
    if not any((run_dir / FOLDER).glob("*.ckpt")):
        return None
    if sweeping():
        return "last"
    raise UserError(
        f"{run_dir} already holds a run: go on with checkpoint=last, or choose another folder with hydra.run.dir=DIR"
    )


def make_module(config: dict[str, Any], data: Any, model: Any, trainer: pl.Trainer) -> LanguageModule:
    forcing = build(config["forcing"], "forcing")
    windows = limited(len(data.train_dataloader()), trainer.limit_train_batches)
    per_window = config["data"]["window"] if forcing.update == "token" else 1
    per_epoch = -(-windows * per_window // config["tbptt"]["windows"])
    return LanguageModule(
        model,
        forcing,
        build(config["optim"], "optim"),
        updates_per_epoch=per_epoch,
        total_updates=per_epoch * (trainer.max_epochs or 1),
        tbptt_windows=config["tbptt"]["windows"],
    )


def make_trainer(config: dict[str, Any], callbacks: list[Any], loggers: list[Any], run_dir: Path) -> pl.Trainer:
    available = {
        "callbacks": callbacks,
        "logger": loggers,
        "default_root_dir": str(run_dir),
        "enable_progress_bar": any(isinstance(callback, Bar) for callback in callbacks),
        **config["accelerator"],
    }
    try:
        trainer: pl.Trainer = build(config["trainer"], "trainer", available)
    except (MisconfigurationException, ValueError) as error:
        raise UserError(f"trainer / accelerator: {' '.join(str(error).split())}") from None
    return trainer


def bars(callbacks: list[Any]) -> list[Bar]:
    """A progress bar where a person looks on; a log file gets lines instead."""
    return [Bar(callback) for callback in callbacks if isinstance(callback, Progress) and sys.stderr.isatty()]


def plain(cfg: DictConfig) -> dict[str, Any]:
    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    return config


def sweeping() -> bool:
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def typed_overrides() -> list[str]:
    """The settings of this job as typed, in a sweep its own share of them."""
    return list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []


def earlier_result(run_dir: Path) -> dict[str, Any]:
    try:
        result: dict[str, Any] = json.loads((run_dir / report.RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return result


def with_absolute_paths(data: dict[str, Any]) -> dict[str, Any]:
    """The files of `data=text` as absolute paths: a checkpoint is used from other folders too."""
    files = {split: data[split] for split in SPLITS if data.get(split) not in (None, MISSING)}
    return {**data, **{split: str(Path(str(file)).expanduser().resolve()) for split, file in files.items()}}


def quiet_libraries() -> None:
    """Keep Lightning's notes about itself from between the lines that the user wants to read."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")  # Lightning 2.6 on torch 2.13
    warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")  # window 0 is always logged
    warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
