"""`benchmark.py`: measures speed, compared with a plain loop and with bare matrix products, or on a GPU."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from omegaconf import DictConfig

from lm.config.build import build
from lm.config.hydra_job import checked
from lm.studies.benchmark.card import DRY, MODELS, TINY, Load, card, card_table
from lm.studies.benchmark.suite import run, table
from lm.studies.benchmark.training import quiet
from lm.system.devices import device
from lm.system.errors import UserError
from lm.system.files import writable, write_json


def benchmark(cfg: DictConfig) -> None:
    """Measure speed, print a table, and write the measured numbers as JSON to the file `out`, if given."""
    settings = checked(cfg)
    out, sizes = settings.pop("out"), build(settings.pop("sizes"), "sizes")
    file = writable(out, "out") if out else None  # checked before the work is done
    dry, kind = settings.pop("dry"), settings.pop("accelerator")["accelerator"]
    if kind in ("gpu", "cuda"):
        if settings["sections"] is not None:
            raise UserError("sections are measured on the CPU only: leave them out with accelerator=gpu")
        on = torch.device("cpu") if dry else device(kind)
        quiet()
        with tempfile.TemporaryDirectory() as scratch:
            result = card(on, DRY if dry else Load(MODELS), Path(scratch))
        print(card_table(result))
    else:
        if dry:
            settings |= {"rounds": 1, "windows": 2, "words": 2}
            settings["sections"] = settings["sections"] or ["training", "tokens", "sampling"]
        result = run(**settings, sizes=TINY if dry else sizes)
        print(table(result))
    if file:
        write_json(file, result)
