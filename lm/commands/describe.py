"""`describe.py`: what a corpus holds, before any training."""

from __future__ import annotations

from dataclasses import asdict

from omegaconf import DictConfig

from lm.config.build import build
from lm.config.hydra_job import checked
from lm.data.corpus import Corpus
from lm.runs.start import vocabulary_of_another_run
from lm.system.files import ANOTHER_FOLDER, report_folder, whole, write_json


def describe(cfg: DictConfig) -> None:
    """Print the counts of a corpus; with `out`, also write description.json and description.png into that folder."""
    from lm.studies.description.figures import figures
    from lm.studies.description.text import text

    settings = checked(cfg)
    out = report_folder(settings["out"]) if settings["out"] else None  # an unusable folder is reported first
    corpus: Corpus = build(settings["data"], "data", {"vocab": vocabulary_of_another_run(settings["data"])})
    found = figures(corpus)
    print(text(found))
    if out is not None:
        from lm.studies.description.drawing import picture

        write_json(out / "description.json", asdict(found))
        with whole(out / "description.png", ANOTHER_FOLDER) as aside:
            aside.write_bytes(picture(found))
        print(f"\n{out}/description.json and description.png")
