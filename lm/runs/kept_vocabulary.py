"""The vocabulary in a checkpoint, with its tokeniser, and when it is used again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from lm.config.build import build
from lm.config.trust import refuse_foreign
from lm.data.vocabulary import Vocab


def vocabulary(content: dict[str, Any], trusted: Collection[str] = ()) -> Vocab:
    """The vocabulary in a checkpoint's `content`, with its tokeniser.

    Raises UserError for a tokeniser that is neither of this project nor `trusted`.
    """
    saved, place = content["vocab"], "data.tokeniser"
    refuse_foreign(saved["tokeniser"], place, trusted)
    return Vocab.from_dict(saved, build(saved["tokeniser"], place))


def has_vocabulary(content: dict[str, Any], vocab: Vocab) -> bool:
    """Whether a checkpoint's `content` has this vocabulary and its tokeniser."""
    saved, own = content["vocab"], vocab.as_dict()
    return all(saved[key] == own[key] for key in ("words", "tokeniser"))


def with_kept_tokeniser(data: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    """The settings of a run's text, with the tokeniser in its checkpoint's `content` in place of that of a file."""
    node = data.get("tokeniser")
    return {**data, "tokeniser": content["vocab"]["tokeniser"]} if isinstance(node, dict) and "path" in node else data


GIVEN = ("vocab_file", "vocab_from")
"""The settings of `data` that name the vocabulary."""


def gives_vocabulary(data: Mapping[str, Any]) -> bool:
    """Whether the settings of a run's text name the vocabulary, so that it is not chosen from the training text."""
    return any(data.get(setting) is not None for setting in GIVEN)
