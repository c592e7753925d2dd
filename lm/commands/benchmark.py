"""`benchmark.py`: how fast, against the plain loop and the floor of bare matrix products; or on a card."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from omegaconf import DictConfig

from lm.commands.inputs import plain_node
from lm.config.build import build
from lm.studies.benchmark.card import DRY, MODELS, TINY, Load, card, card_table
from lm.studies.benchmark.suite import run, table
from lm.studies.benchmark.training import quiet
from lm.system.devices import device
from lm.system.errors import UserError
from lm.system.files import writable, write_json


def benchmark(cfg: DictConfig) -> None:
    """Measure, print a table, and write the figures as JSON where `out` says so."""
    settings = plain_node(cfg)
    out, sizes = settings.pop("out"), build(settings.pop("sizes"), "sizes")
    file = writable(out, "out") if out else None  # said before the work is done
    dry, kind = settings.pop("dry"), settings.pop("accelerator")["accelerator"]
    if kind in ("gpu", "cuda"):
        if settings["sections"] is not None:
            raise UserError("sections are the processor's: leave them out with accelerator=gpu")
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
