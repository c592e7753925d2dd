"""`lm.train([...])`: the command `train` as a function, for a notebook or a program."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from lm.cli.arguments import for_hydra
from lm.cli.error_sentences import explain
from lm.commands import train as command
from lm.config.compose import composed, register
from lm.runs.result import read_result
from lm.system.errors import UserError


@dataclass(frozen=True)
class Trained:
    """A finished run: its folder, for `lm.load`, and the contents of its result.json."""

    folder: Path
    result: dict[str, Any]


def train(overrides: Sequence[str] = (), quiet: bool = False) -> Trained:
    """Train a model, as `train.py` does, for example with `lm.train(["+experiment=quickstart", "seed=1"])`.

    The setting `hydra.run.dir=DIR` chooses the run's folder; without it, a new folder below runs/ is made. With `quiet`
    nothing is printed: messages and results are in train.log in that folder. Raises UserError with a message of one
    sentence.
    """
    register()
    try:
        settings = for_hydra(list(overrides), "train")
        if "-m" in settings:
            raise UserError("lm.train runs one job: leave -m out, and call it once for each setting")
        cfg = composed("train", settings, with_hydra=True)
        folder = Path(OmegaConf.to_container(cfg.hydra.run, resolve=True)["dir"]).expanduser().resolve()  # type: ignore[index, call-overload]
        with open_dict(cfg):
            del cfg["hydra"]
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error, "train")) from None
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as around:
        around.enter_context(_logged(folder / "train.log"))
        if quiet:
            around.enter_context(redirect_stdout(io.StringIO()))
            around.enter_context(redirect_stderr(io.StringIO()))
        command.train(cfg, folder, [setting for setting in settings if not setting.startswith("hydra.")])
    return Trained(folder, read_result(folder))


@contextmanager
def _logged(file: Path) -> Iterator[None]:
    """Inside the context, messages are also written to a file, as Hydra does for a command."""
    handler = logging.FileHandler(file, encoding="utf-8")
    handler.setFormatter(logging.Formatter("[%(asctime)s][%(name)s][%(levelname)s] - %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()
