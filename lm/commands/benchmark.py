"""`benchmark.py`: how fast, against the plain loop and the floor of bare matrix products."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, OmegaConf

from lm.config.build import build
from lm.studies.benchmark.suite import run, table
from lm.system.files import writable, write_json


def benchmark(cfg: DictConfig) -> None:
    """Measure, print a table, and write the figures as JSON where `out` says so."""
    settings: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    out, sizes = settings.pop("out"), build(settings.pop("sizes"), "sizes")
    file = writable(out, "out") if out else None  # said before the work is done
    result = run(**settings, sizes=sizes)
    print(table(result))
    if file:
        write_json(file, result)
