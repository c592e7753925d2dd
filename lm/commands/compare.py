"""`compare.py`: runs in, a report out."""

from __future__ import annotations

from omegaconf import DictConfig, OmegaConf

from lm.commands.inputs import plain_node
from lm.studies.comparison.report import report
from lm.studies.comparison.settings import Settings
from lm.system.devices import device
from lm.system.errors import UserError


def compare(cfg: DictConfig) -> None:
    """Write a report of `cfg.runs` into the folder `cfg.out`. Raises UserError for what cannot be compared at all."""
    if OmegaConf.is_missing(cfg, "runs"):
        raise UserError("runs is missing; name folders of runs, or of a sweep: runs=[DIR,DIR]")
    given = plain_node(cfg)
    runs, out, accelerator = given.pop("runs"), given.pop("out"), given.pop("accelerator")
    lists = {name: tuple(value) for name, value in given.items() if isinstance(value, list)}
    settings = Settings(**{**given, **lists}, device=str(device(accelerator["accelerator"])))
    print(report(runs, out, settings))
