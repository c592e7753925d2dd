"""`compare.py`: a report that compares runs."""

from __future__ import annotations

from omegaconf import DictConfig, OmegaConf

from lm.config.hydra_job import checked
from lm.runs.result import RESULT
from lm.studies.comparison.report import report
from lm.studies.comparison.settings import Settings
from lm.system.devices import device
from lm.system.errors import UserError
from lm.system.files import moved_to, writable


def compare(cfg: DictConfig) -> None:
    """Write a report of `cfg.runs` into the folder `cfg.out`, and the tables asked for.

    Raises UserError if nothing can be compared.
    """
    if OmegaConf.is_missing(cfg, "runs"):
        raise UserError("runs is missing; name folders of runs, or of a sweep: runs=[DIR,DIR]")
    given = checked(cfg)
    runs, out, accelerator = given.pop("runs"), given.pop("out"), given.pop("accelerator")
    moved_to(given["data_from"])  # a mistake is reported before anything is measured
    tables = {name: writable(place, name) for name in ("table", "curves") if (place := given.pop(name))}
    for name, file in tables.items():
        if file.suffix != ".csv":
            raise UserError(f"{name}: {file} must end in .csv")
        if (file.parent / RESULT).is_file():
            raise UserError(
                f"{name}: {file} lies in a run's folder, which has tables of its own; choose another folder"
            )
    if len({file.resolve() for file in tables.values()}) < len(tables):
        raise UserError(f"table and curves: both name {tables['table']}; choose two files")
    settings = Settings(**given, device=str(device(accelerator["accelerator"])))
    print(report(runs, out, settings, **tables))
