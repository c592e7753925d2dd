"""From a configuration to a finished run."""

from __future__ import annotations

import logging
import shlex
import signal
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
from lm.assembly import bars, make_module, make_trainer
from lm.build import MISSING, build
from lm.callbacks.checkpoint import Checkpoint
from lm.callbacks.evaluation import FreeRunningTest
from lm.callbacks.profile import Profile
from lm.callbacks.progress import Progress
from lm.callbacks.stopping import Stopping
from lm.callbacks.tensorboard import TextSamples
from lm.checkpoint import FOLDER, find, load_weights, read, read_to_go_on
from lm.config import AVAILABLE, PROFILE, TBPTT, composed, validate
from lm.data.sources import SPLITS
from lm.devices import device
from lm.errors import UserError, out_of_memory
from lm.files import claimed
from lm.folder import RunFolder
from lm.interrupt import Interrupted, StopRequest, listening
from lm.precision import allow_tf32, training_precision
from lm.progress import say, show
from lm.trust import foreign

UNFINISHED = "the run did not reach its end: it was killed, or is still running"


def train(cfg: DictConfig, run_dir: Path | None = None) -> float:
    """Train, validate each epoch, test the best checkpoint, sample; everything into the run's folder (Hydra's if None).

    Returns the best validation perplexity, for sweepers. result.json is there from the start, so that a killed run
    is told from a finished one; a mistake noticed before anything begins leaves that of an earlier run alone. A job
    that a sweep's folder holds finished already is kept as it is. Raises UserError, also while another process is at
    work in the folder.
    """
    quiet_libraries()
    run_dir = (run_dir or Path(HydraConfig.get().runtime.output_dir)).resolve()
    with claimed(run_dir):
        return _run(plain(cfg), RunFolder(run_dir))


def _run(config: dict[str, Any], folder: RunFolder) -> float:
    checkpoint, trusted, overrides = config.pop("checkpoint", None), config.pop("trust", []), typed_overrides()
    config["data"] = with_absolute_paths(config["data"])
    if config.get("weights_from"):
        config["weights_from"] = str(Path(config["weights_from"]).expanduser().resolve())
    result: dict[str, Any] = {"status": "failed", "error": UNFINISHED, "seed": config.get("seed"), "config": config}
    result |= {"overrides": overrides, "resumed_at": []}
    saved: dict[str, Any] = {}  # what the checkpoint to go on from holds
    started, began = time.perf_counter(), False
    try:
        start = folder.starting_point(checkpoint, sweeping())
        if start is not None:
            saved, here = read_to_go_on(start), folder.holds(start)
            config = result["config"] = resumed_config(config, overrides, start, saved, trusted)
            before = folder.earlier.get("resumed_at", []) if here else []
            result |= {"seed": config["seed"], "resumed_at": [*before, saved["global_step"]]}
            result["overrides"] = folder.overrides(overrides, here)
        if sweeping() and folder.finished:
            if folder.earlier["config"] == config:
                say(f"kept: {folder.path} is finished already")
                return report.score(folder.earlier)
            if start is None:
                raise folder.taken()
        validate(config)
        if start is not None:
            resume.refuse_spent_time(config["trainer"].get("max_time"), saved, start)
            say(f"going on from {start} at window {saved['training']['windows']:,}")
            epochs, before = (one["trainer"].get("max_epochs") for one in (config, saved["config"]))
            if epochs != before:
                say(f"trainer.max_epochs is {epochs}, no longer {before}: a rate that goes by it is worked out anew")
        elif checkpoint == "last":
            say(f"{folder.path} holds no checkpoint yet: starting afresh")
        began = True
        report.write_json(folder.path / report.RESULT, result)
        with listening() as stop:
            result |= _train(config, folder.path, start, saved, stop, again=bool(folder.earlier))
            result |= {"status": "completed", "error": None}
            show(report.summary({**result, "seconds": time.perf_counter() - started}, folder.path), folder.path)
            stop.obey()  # the run is finished; a sweep is not to go on
    except Interrupted as interrupted:
        if not began:
            result["error"] = str(interrupted)
        elif result["status"] != "completed":
            result["error"] = f"{interrupted}; go on with checkpoint={folder.path}"
            interrupted.add_note(f"go on with: {going_on(folder.path, foreign(config))}")
        raise
    except BaseException as error:
        error = told(error)
        result["error"] = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        raise error from None
    finally:
        result["seconds"] = time.perf_counter() - started
        if began or not folder.holds_run:
            report.write_json(folder.path / report.RESULT, result)
    return report.score(result)


def going_on(run_dir: Path, trusted: list[str]) -> str:
    """What to type to go on with a run that was stopped, and has `trusted` parts that conf/ does not know."""
    if sweeping():
        return f"the same command, with {shlex.quote(f'hydra.sweep.dir={run_dir.parent}')}"
    said = [f"checkpoint={run_dir}", *([f"trust=[{','.join(trusted)}]"] if trusted else [])]
    return f"python train.py {shlex.join(said)}"


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
    allow_tf32(precision != "32-true")
    keep_freed_memory()
    pl.seed_everything(config["seed"], verbose=False)
    data = build(config["data"], "data")
    if TBPTT(**config["tbptt"]).random_length:
        data.randomise_windows(config["seed"])
    model = build(config["model"], "model", {"vocab_size": len(data.vocab)})
    model.head.prepare(torch.from_numpy(np.bincount(data.ids["train"], minlength=len(data.vocab))))
    here = start is not None and RunFolder(run_dir).holds(start)
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
    sampler.banned(data.vocab)  # a word that it cannot ban is told now, not behind an epoch
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
    for split in scores:
        if (own := data.own_perplexity(split)) is not None and scores[split]:
            scores[split]["source"] = own
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
    config: dict[str, Any], overrides: list[str], start: Path, saved: dict[str, Any], trusted: list[str]
) -> dict[str, Any]:
    """The configuration of the run that goes on from `start`."""
    explicit = [override.partition("=")[0].lstrip("+~") for override in overrides]
    return resume.merged(saved["config"], config, plain(composed("train")), explicit, start, trusted)


def told(error: BaseException) -> BaseException:
    """An error as a UserError, where it is known to be about what was asked for and not about this program."""
    text = " ".join(str(error).split())
    if isinstance(error, SIGTERMException):  # Lightning was quicker than lm.callbacks.stopping
        return Interrupted(signal.SIGTERM)
    if isinstance(error, MisconfigurationException):
        return UserError(f"trainer / accelerator: {text}")
    if out_of_memory(error):
        return UserError("out of memory: lower data.batch_size, data.window, tbptt.windows or the sizes of the model")
    return error


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
