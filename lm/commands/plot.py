"""`plot.py`: a figure of the curves of several runs."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from lm.config.hydra_job import checked
from lm.studies.comparison.groups import grouped
from lm.studies.comparison.reading import read_runs
from lm.studies.figure_of_runs import FORMATS, draw
from lm.system.errors import UserError
from lm.system.files import whole, writable
from lm.system.terminal import say


def plot(cfg: DictConfig) -> None:
    """Draw one curve of all `cfg.runs` into the file `cfg.out`. Raises UserError if there is nothing to draw."""
    for name, what in (("runs", "folders of runs, or of a sweep: runs=[DIR,DIR]"), ("out", "a file: out=FIG.pdf")):
        if OmegaConf.is_missing(cfg, name):
            raise UserError(f"{name} is missing; name {what}")
    given = checked(cfg)
    out = writable(given["out"], "out")
    if out.suffix not in FORMATS:
        raise UserError(f"out: {out} must end in one of {', '.join(FORMATS)}")
    runs, left_out = read_runs(given["runs"])
    for job in left_out:
        say(f"left out: {job.folder}: {job.reason}")
    drawn = draw(grouped(runs), given["x"], given["y"], (given["width"], given["height"]), given["confidence"])
    with whole(out, "free some space or choose another file") as aside:
        drawn.savefig(aside, format=out.suffix[1:], dpi=300)
    print(Path(out).resolve())
