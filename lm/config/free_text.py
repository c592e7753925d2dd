"""Marks settings as free text, which Hydra's grammar must not interpret."""

from __future__ import annotations

from dataclasses import dataclass, is_dataclass
from typing import Annotated, Any, get_args

from lm.system.bounds import annotations_of


@dataclass(frozen=True)
class Free:
    """The mark, in the annotation of a setting, or of a group that names its marked settings in `inside`.

    What the user types for a text is the value, also null, ??? and quotes. A `path` names a file or folder: there null
    means none, and a value in quotes is left to Hydra's grammar. `many`: the setting is a list. `or_many`: it may be
    one, and a value in square brackets is.
    """

    path: bool = False
    many: bool = False
    or_many: bool = False
    inside: tuple[str, ...] = ()


Text = Annotated[str, Free()]
Texts = Annotated[list[str], Free(many=True)]
Place = Annotated[str, Free(path=True)]
Files = Annotated[Any, Free(path=True, or_many=True)]
Places = Annotated[list[str], Free(path=True, many=True)]


def free_settings(schema: type[Any]) -> dict[str, Free]:
    """The dotted names of a schema's marked settings, each with its mark."""
    found: dict[str, Free] = {}
    for name, hint in annotations_of(schema).items():
        if is_dataclass(hint) and isinstance(hint, type):
            found |= {f"{name}.{inner}": mark for inner, mark in free_settings(hint).items()}
        elif (mark := free(hint)) is not None:
            found |= {f"{name}.{inner}": mark for inner in mark.inside} or {name: mark}
    return found


def free(hint: Any) -> Free | None:
    """The mark in an annotation, also inside a union or a list; None if the setting is not free text."""
    own = next((extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, Free)), None)
    return own or next((found for part in get_args(hint) if (found := free(part))), None)
