"""`train.py`: trains a model, from settings to a finished run. The function `_run` lists the steps."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from lm.commands.what_next import example, resume_command, what_next
from lm.config.hydra_job import job_number, output_folder, sweeping
from lm.config.rules_across_groups import check_rules
from lm.config.schemas import Accelerator, FreeRunningTest
from lm.config.trust import foreign
from lm.data.datamodule import CorpusDataModule
from lm.evaluation import per_text
from lm.runs.checkpoint import load_weights, read, read_to_resume
from lm.runs.result import Result, score, summary
from lm.runs.run_folder import RunFolder
from lm.runs.start import Asked, Start, choose_start, is_kept, read_settings, say_start
from lm.sampling import texts
from lm.studies.run_curves import draw_run
from lm.system.companions import companions, follow_launched, telling_others
from lm.system.errors import UserError
from lm.system.files import claimed
from lm.system.ranks import LostRank, Ranks
from lm.system.signals import Interrupted, listening
from lm.system.terminal import say, show
from lm.training.curves import ONCE
from lm.training.data_parallel import number_of_ranks
from lm.training.free_running_perplexity import free_running
from lm.training.prepare import Run, prepare
from lm.training.run_context import RunContext
from lm.training.trainer import as_user_error, quiet_libraries


def train(cfg: DictConfig, run_dir: Path | None = None, overrides: list[str] | None = None) -> float:
    """Train, validate each epoch, test the best checkpoint, and sample; write all to `run_dir` (None: Hydra's folder).

    Returns the best validation perplexity, for sweepers. result.json is written at the start, so that a killed run can
    be recognised; an error before training leaves an earlier run's result.json unchanged. A finished job of a sweep is
    skipped. `overrides`: settings as typed (None: taken from Hydra). Raises UserError for wrong settings, or if
    another process uses the folder.
    """
    quiet_libraries()
    asked = read_settings(cfg, overrides)
    if follow_launched(asked.config["accelerator"].get("threads"), follow, job_number()):
        return math.inf
    path = (run_dir or output_folder()).resolve()
    with telling_others(job_number()), claimed(path):
        return _run(asked, RunFolder(path))


def _run(asked: Asked, folder: RunFolder) -> float:
    started, result = time.perf_counter(), Result(asked.config, asked.config.get("seed"), asked.overrides)
    with recorded(result, folder, started) as begin:
        start = choose_start(asked, folder, result)
        if is_kept(start, folder):
            return score(folder.earlier)
        check_rules(start.config, RunContext.names())
        accelerator = Accelerator(**start.config["accelerator"])
        say_start(start, asked, folder)
        ranks_of = number_of_ranks(accelerator)
        with listening() as stop, companions(*ranks_of, accelerator.threads, follow, job_number()) as ranks:
            ranks.share(start.config["data"]["batch_size"])
            ranks.from_first((replace(start, saved={}), folder.path))
            run = prepare(start, folder.path, stop, lambda: begin_training(start, folder, begin), ranks)
            if not folder.holds_run:
                begin()  # nothing to lose: a killed start is known from one that never was
            if start.file is not None and not start.here:
                folder.bring_along(start.file)  # before Lightning reads the checkpoint and looks for the best one
            try:
                fit(run, start)
            finally:  # also when a callback fails: what was measured is kept
                collect_training(run, folder, result)
                draw_curves(folder.path)
            trained = run.module.tokens_per_second is not None
            done = not trained and start.here and folder.finished
            ranks.from_first(done)
            if done:
                say(f"nothing is left to train: {folder.path} stays as it is; raise trainer.max_epochs")
                return score(folder.earlier)
            if not trained and start.here:
                begin_training(start, folder, begin)  # it was stopped before its test
            test(run, folder, result)
            measure_free_running(run, result)
            collect(run, result)
            report(run, result, folder, started)
            stop.obey()  # the run is finished, but a sweep must not start its next job
    return score(vars(result))


def follow(ranks: Ranks) -> None:
    """The same on another rank than the first: it trains on its share of the columns, and writes nothing."""
    quiet_libraries()
    told: Any = ranks.from_first(None)
    if told is None:  # nothing to do
        return
    start, path = told
    try:
        with listening() as stop:
            saved = {} if start.file is None else read_to_resume(start.file)
            run = prepare(replace(start, saved=saved), path, stop, lambda: None, ranks)
            fit(run, start)
            if not ranks.from_first(False):
                run.trainer.test(run.module, datamodule=CorpusDataModule(run.corpus), verbose=False)
    except BaseException as error:
        raise as_user_error(error) from None


@contextmanager
def recorded(result: Result, folder: RunFolder, started: float) -> Iterator[Callable[[], None]]:
    """Write to result.json how the code inside the context ends: completed or failed, and why.

    Yields a function to call when training begins. Until this call, result.json of an earlier run is not changed.
    """
    began = False

    def begin() -> None:
        nonlocal began
        began = True
        result.write(folder.path)

    try:
        yield begin
    except Interrupted as interrupted:
        result.error = str(interrupted)
        if began and result.status != "completed" and folder.best() is not None:
            result.error += f"; resume it with checkpoint={folder.path}"
            interrupted.add_note(f"resume with: {resume_command(folder.path, foreign(result.config))}")
        raise
    except BaseException as error:
        error = as_user_error(error)
        if isinstance(error, LostRank) and began and folder.best() is not None:
            error = UserError(f"{error}; go on with {resume_command(folder.path, foreign(result.config))}")
        result.error = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        raise error from None
    finally:
        result.seconds = time.perf_counter() - started
        if began or not folder.holds_run:
            result.write(folder.path)
        else:
            folder.drop_new_curves()


def begin_training(start: Start, folder: RunFolder, begin: Callable[[], None]) -> None:
    """Restore the run's folder to its state at the checkpoint, and call `begin`, which writes a new result.json."""
    if start.here or folder.earlier:
        folder.cut_curves(start.saved["events"] if start.here else {})
    begin()


def fit(run: Run, start: Start) -> None:
    run.trainer.fit(run.module, datamodule=CorpusDataModule(run.corpus), ckpt_path=start.file, weights_only=True)


def collect_training(run: Run, folder: RunFolder, result: Result) -> None:
    """Add to the result what training has measured."""
    module, best = run.module, folder.best()
    result.best = {"checkpoint": str(best) if best else None, "epoch": module.best_epoch}
    result.valid = dict(module.best_score)
    result.training = {name: getattr(module, name) for name in ("windows", "tokens", "updates", "seconds")}
    result.tokens_per_second = module.tokens_per_second


def draw_curves(folder: Path) -> None:
    """Leave a picture of the curves in the run's folder. That it cannot be written fails no run."""
    try:
        draw_run(folder)
    except UserError as error:
        say(str(error))


def test(run: Run, folder: RunFolder, result: Result) -> None:
    """Test the best checkpoint, or the last weights if there is no checkpoint."""
    best, module = folder.best(), run.module
    if best is not None:
        load_weights(module.model, read(best), best)
    elif module.best_epoch not in (None, run.trainer.current_epoch):
        say(f"no checkpoint was kept: testing the last weights, not those of the best epoch ({module.best_epoch})")
    run.trainer.test(module, datamodule=CorpusDataModule(run.corpus), verbose=False)
    run.module.model.to(run.device)  # Lightning has moved it to the processor
    result.test = module.scores["test"].as_dict() if "test" in module.scores else {}
    for split, figures in (("valid", result.valid), ("test", result.test)):
        if not figures:
            continue
        whole = figures["tokens"] == run.corpus.tokens[split] - 1
        figures |= per_text(figures["nats"], run.corpus.split_size(split) if whole else None)
        if (own := run.corpus.source_perplexity(split)) is not None:
            figures["source"] = own


def measure_free_running(run: Run, result: Result) -> None:
    if settings := run.context.config.get("free_running"):
        found = free_running(run.module, run.corpus, FreeRunningTest(**settings), run.trainer, run.context.stop)
        for split, figures in found.items():
            (result.valid if split == "valid" else result.test)["free_running"] = figures


def collect(run: Run, result: Result) -> None:
    """Add samples, counts, speed and provenance to the result."""
    context = run.context
    result.samples = texts(run.module.model, context.sampler, context.vocab, context.seed)
    result.train = {"tokens": run.corpus.tokens["train"], "unknown": run.corpus.unknown["train"]}
    result.vocabulary = len(context.vocab)
    result.parameters = run.module.model.parameter_count
    result.precision = run.precision
    result.provenance = context.description.provenance


def report(run: Run, result: Result, folder: RunFolder, started: float) -> None:
    """Write the last points of the curves, and print the table of results."""
    for logger in run.trainer.loggers:
        if run.module.best_epoch:
            logger.log_metrics({f"{ONCE}/best_valid_perplexity": run.module.best}, step=run.module.windows)
        logger.finalize("success")
    result.status, result.error, result.seconds = "completed", None, time.perf_counter() - started
    show(summary(result, folder.path), folder.path)
    if not sweeping():
        lines = what_next(folder.path, example(run.corpus), foreign(result.config))
        show("\n".join(["  next", *lines]), folder.path)
