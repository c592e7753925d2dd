"""Types of settings that several commands share, each with its meaning for `--help`."""

from __future__ import annotations

from typing import Annotated, Any, get_origin

from lm.config.free_text import Free, Place
from lm.system.bounds import Count, Range

Trust = Annotated[list[str], "classes of your own that a checkpoint may run: [package.module.Name]"]
Checkpoint = Annotated[Place, "a checkpoint file, a run's folder (its best one), or an exported model"]
Checkpoints = Annotated[
    Any,
    Free(path=True, or_many=True),
    "a checkpoint, a run's folder or an exported model; several, [A,B], or a sweep's folder: a mixture",
]
Adapted = Annotated[Place | None, "a checkpoint to write: the model with the weights that evaluator=dynamic leaves"]
Mixed = Annotated[Any, "shares of several models: equal, auto (by the validation text) or [0.7,0.3]"]
NGramOrder = Annotated[Count | None, "add an n-gram model of the training text: Kneser-Ney of this order"]
DataFrom = Annotated[Place | None, "the folder that holds the run's text files, if they have moved"]
OutFile = Annotated[Place | None, "a file for the figures as JSON"]
Seed = Annotated[int, Range(least=0, most=2**32 - 1)]
Group = Any
FREE = ("train", "valid", "test", "vocab_file", "vocab_from", "tokeniser.path")
Data = Annotated[Group, Free(path=True, or_many=True, inside=FREE)]


def is_group(hint: Any) -> bool:
    """Whether an annotation belongs to a group of conf/, or to an object that a file of conf/ describes.

    A setting of several possible types has the same type, but says what it means.
    """
    return hint is Group or (get_origin(hint) is Annotated and hint.__origin__ is Group and not meaning(hint))


def meaning(hint: Any) -> str:
    """The description of a setting for `--help`, read from the setting's annotation."""
    said = [extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, str)]
    return said[-1] if said else ""
