"""At the end of a sweep, prints a table of all jobs, best first, and writes a report."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from lm.cli.program import program
from lm.commands.what_next import tensorboard
from lm.config.jobs_at_once import jobs_at_once, may_start_again
from lm.config.trust import foreign
from lm.runs.result import RESULT, read_result, score
from lm.system.errors import UserError
from lm.system.sweep_head import tell_jobs
from lm.system.terminal import aligned, say


class SweepTable(Callback):
    """After the last job of a sweep (`--multirun`), prints a table; with `report`, also writes compare.py's report."""

    def __init__(self, report: bool = True) -> None:
        self.report = report
        self.began = 0.0
        self.trusted: dict[str, None] = {}  # foreign code that the jobs ran; the report may run it too

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        self.began, count, threads = time.time(), jobs_at_once(config.hydra), None
        if count > 1:
            from lm.system.devices import threads_at_first  # imports torch

            threads = max(1, threads_at_first() // count)
        tell_jobs(Path(config.hydra.sweep.dir).resolve(), threads, may_start_again(config.hydra))
        if threads is not None:
            say(f"{count} jobs at once, on {threads} thread{'s' * (threads > 1)} of the processor each")

    def on_job_start(self, config: DictConfig, **_: Any) -> None:
        settings: Any = OmegaConf.to_container(config)
        self.trusted |= dict.fromkeys(foreign({group: node for group, node in settings.items() if group != "hydra"}))

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        folder = Path(config.hydra.sweep.dir)
        print(f"\n{table(folder)}\n  TensorBoard: {tensorboard(folder)}")
        if self.report:
            print(f"  report: {_report(folder, list(self.trusted))}", flush=True)
        if "basic" not in config.hydra.launcher._target_.lower() and any(_unfinished(folder, self.began)):
            sys.exit(1)  # jobs in other processes cannot tell this one


def _report(folder: Path, trusted: list[str]) -> str:
    """Write the report in the sweep's folder. Returns the report's path, or a sentence that says why it is missing."""
    from lm.studies.comparison.report import report  # here, because its imports take a second
    from lm.studies.comparison.settings import Settings

    later = f"{program('compare')} {shlex.quote(f'runs=[{folder}]')}"
    try:
        return str(report([str(folder)], folder / "report", Settings(trust=trusted)))
    except UserError as error:
        return f"none: {error}"
    except Exception as error:  # no error here may turn a finished sweep into a failed one
        return f"none: {type(error).__name__}: {' '.join(str(error).split())}; for details: {later}"


def _unknown(score: dict[str, Any]) -> str:
    """The share of a score's tokens that are unknown."""
    return f"{score['unknown'] / score['tokens']:.1%}" if score.get("tokens") and "unknown" in score else "-"


def table(folder: Path) -> str:
    """A table of the jobs in a sweep's folder: perplexities, unknown tokens of the test text, time, settings.

    Jobs of different vocabularies are in the order of their bits per byte. Failed jobs are last, each with its error.
    """
    jobs = [(path.parent, read_result(path.parent)) for path in folder.glob(f"*/{RESULT}")]
    lost = {"status": "failed", "error": "it has no result.json yet: see train.log in its folder"}
    jobs += [(path.parent, lost) for path in folder.glob("*/.hydra") if not (path.parent / RESULT).is_file()]
    sizes = sorted({result["vocabulary"] for _, result in jobs if result.get("vocabulary")})
    order = score if len(sizes) < 2 else _bits
    jobs.sort(key=lambda job: (job[1].get("status") != "completed", order(job[1]), job[0].name.zfill(9)))
    typed = [result.get("overrides") or [] for _, result in jobs]
    common = [override for override in typed[0] if all(override in other for other in typed)] if typed else []
    rows = [("job", "valid", "bits/byte", "test", "unknown", "epoch", "time", "settings")]
    for path, result in jobs:
        settings = " ".join(override for override in result.get("overrides") or [] if override not in common)
        if result["status"] == "completed":
            valid, test = (f"{result[split].get('perplexity') or float('inf'):.2f}" for split in ("valid", "test"))
            rest = (_unknown(result["test"]), str(result["best"]["epoch"]), f"{result['seconds']:,.0f} s", settings)
            rows.append((path.name, valid, f"{_bits(result):.3f}", test, *rest))
        else:
            rows.append((path.name, "failed", "", "", "", "", "", f"{settings}: {result['error']}"))
    shared = [f"  all jobs with {' '.join(common)}"] if common else []
    if len(sizes) < 2:
        lines = aligned([(*row[:2], *row[3:]) for row in rows], "lrrrrrl")
        return "\n".join([f"{len(jobs)} jobs, best first:", *(f"  {line}" for line in lines), *shared])
    words = ", ".join(f"{size:,}" for size in sizes)
    shared.insert(0, "  bits per byte do not compare where there are unknown tokens or lower case: see the report")
    shared.insert(0, f"  perplexities do not compare: vocabularies of {words} tokens")
    lines = [f"  {line}" for line in aligned(rows, "lrrrrrrl")]
    return "\n".join([f"{len(jobs)} jobs, by bits per byte of the validation text:", *lines, *shared])


def _unfinished(folder: Path, began: float) -> Iterator[Path]:
    """The jobs of a sweep that began at a time, as `time.time` gives it, which have not ended well."""
    for path in folder.glob("*/.hydra/overrides.yaml"):  # Hydra writes it at the start of a job
        job = path.parent.parent
        if path.stat().st_mtime >= began - 1 and read_result(job).get("status") != "completed":
            yield job


def _bits(result: dict[str, Any]) -> float:
    """Bits per byte of the validation text; inf if the run failed or has none."""
    bits = result["valid"].get("bits_per_byte") if result.get("status") == "completed" else None
    return float("inf") if bits is None else float(bits)
