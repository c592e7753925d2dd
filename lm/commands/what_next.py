"""Says which commands can follow a run, as they are typed."""

from __future__ import annotations

import shlex
from pathlib import Path

from lm.cli.program import beside_python, program, shown_path
from lm.config.hydra_job import sweeping
from lm.data.corpus import Corpus


def resume_command(run_dir: Path, trusted: list[str]) -> str:
    """The command line that resumes a stopped run. `trusted` are the run's classes and functions from outside conf/."""
    if sweeping():
        return f"the same command, with {shlex.quote(f'hydra.sweep.dir={run_dir.parent}')}"
    return _typed("train", f"checkpoint={run_dir}", trusted=trusted)


def what_next(run_dir: Path, text: str, trusted: list[str]) -> list[str]:
    """Commands to try on a finished run. `text` is one to evaluate, `trusted` the run's classes from outside conf/."""
    place = shown_path(run_dir)
    lines = [
        _typed("sample", f"checkpoint={place}", trusted=trusted),
        _typed("evaluate", f"checkpoint={place}", f"text={text}", trusted=trusted),
        _typed("compare", f"runs=[{place}]", f"out={place}/report", trusted=trusted),
        tensorboard(place),
    ]
    return [f"    {line}" for line in lines]


def _typed(command: str, *settings: str, trusted: list[str]) -> str:
    trust = [f"trust=[{','.join(trusted)}]"] if trusted else []
    return f"{program(command)} {shlex.join([*settings, *trust])}"


def tensorboard(folder: str | Path) -> str:
    """The command that shows the curves of a run or a sweep."""
    return f"{beside_python('tensorboard')} --logdir {shlex.quote(str(folder))}"


def example(corpus: Corpus) -> str:
    """A short line of the validation text that the model knows every word of; else the text's first words."""
    vocab = corpus.vocab
    lines = vocab.decode(corpus.ids["valid"][:5000].tolist()).split("\n")
    plain = (line.strip() for line in lines if line.replace(" ", "").isalpha())
    known = (line for line in plain if len(line.split()) > 2 and len(line) < 60)
    return next(known, " ".join(" ".join(lines).split()[:5]))
