"""From a configuration to a finished run: the only place that instantiates."""

from __future__ import annotations

import logging
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from lm import report
from lm.build import MISSING, build
from lm.callbacks.checkpoint import Checkpoint
from lm.callbacks.progress import Bar, Progress
from lm.callbacks.tensorboard import TextSamples
from lm.checkpoint import find, load
from lm.config import validate
from lm.data.sources import SPLITS
from lm.errors import UserError
from lm.module import LanguageModule


def train(cfg: DictConfig, run_dir: Path | None = None) -> float:
    """Train, validate each epoch, test the best checkpoint, sample; everything into the run's folder (Hydra's if None).

    Returns the best validation perplexity, for sweepers. result.json is written on failure too.
    """
    run_dir = run_dir or Path(HydraConfig.get().runtime.output_dir)
    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    result: dict[str, Any] = {"status": "failed", "error": None, "seed": config["seed"], "config": config}
    started = time.perf_counter()
    quiet_libraries()
    try:
        validate(config)
        config["data"] = with_absolute_paths(config["data"])
        result |= _train(config, run_dir)
        result["status"] = "completed"
    except BaseException as error:
        result["error"] = f"{type(error).__name__}: {error}" if not isinstance(error, UserError) else str(error)
        raise
    finally:
        result["seconds"] = time.perf_counter() - started
        report.write_json(run_dir / report.RESULT, result)
    print(report.summary(result, run_dir))
    return float(result["valid"]["perplexity"] or "inf")


def _train(config: dict[str, Any], run_dir: Path) -> dict[str, Any]:
    pl.seed_everything(config["seed"], verbose=False)
    data = build(config["data"], "data")
    model = build(config["model"], "model", {"vocab_size": len(data.vocab)})
    sampler = build(config["sampler"], "sampler")
    loggers = [
        build(node, f"logger.{name}", {"save_dir": str(run_dir)}) for name, node in config["logger"].items() if node
    ]
    available = {"run_dir": str(run_dir), "vocab": data.vocab, "config": config}
    available |= {"sampler": sampler, "seed": config["seed"]}
    callbacks = [build(node, f"callbacks.{name}", available) for name, node in config["callbacks"].items() if node]
    trainer = make_trainer(config, [*callbacks, *bars(callbacks)], loggers, run_dir)
    module = make_module(config, data, model, trainer)
    trainer.fit(module, datamodule=data)

    best = find(run_dir)
    module.model.load_state_dict(load(best).model.state_dict())
    trainer.test(module, datamodule=data, verbose=False)
    checkpoint = next((callback for callback in callbacks if isinstance(callback, Checkpoint)), None)
    samples = next((callback.draw(module) for callback in callbacks if isinstance(callback, TextSamples)), [])
    progress = next((callback for callback in callbacks if isinstance(callback, Progress)), None)
    for logger in loggers:
        if checkpoint:
            logger.log_metrics({"best/valid_perplexity": checkpoint.best}, step=module.windows)
        logger.finalize("success")
    return {
        "valid": checkpoint.best_score if checkpoint else {},
        "test": module.scores["test"].as_dict(),
        "best": {"checkpoint": str(best), "epoch": checkpoint.best_epoch if checkpoint else None},
        "resumed_at": [],
        "tokens_per_second": progress.pace.rate * data.tokens_per_window if progress else None,
        "samples": samples,
    }


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
    node = {**config["trainer"], **config["accelerator"]}
    available = {
        "callbacks": callbacks,
        "logger": loggers,
        "default_root_dir": str(run_dir),
        "enable_progress_bar": any(isinstance(callback, Bar) for callback in callbacks),
    }
    try:
        return build(node, "trainer", available)
    except MisconfigurationException as error:
        raise UserError(f"trainer / accelerator: {' '.join(str(error).split())}") from None


def bars(callbacks: list[Any]) -> list[Bar]:
    """A progress bar where a person looks on; a log file gets lines instead."""
    return [Bar(callback) for callback in callbacks if isinstance(callback, Progress) and sys.stderr.isatty()]


def limited(count: int, limit: float | int | None) -> int:
    """How many of `count` batches a Lightning limit leaves: a number of them, or a share."""
    if limit is None:
        return count
    return min(count, limit) if isinstance(limit, int) else int(count * limit)


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
