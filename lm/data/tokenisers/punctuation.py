"""Words and punctuation marks apart, as the Moses tokeniser does it (Koehn et al. 2007), by the package sacremoses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from lm.data.tokenisers.tokeniser import EOS, UNK, Tokeniser
from lm.system.errors import UserError
from lm.system.extras import needed

KEPT = [EOS, UNK]  # written in a text, they are words of a benchmark


@dataclass(frozen=True, kw_only=True)
class Punctuation(Tokeniser):
    """Splits at white space and sets punctuation marks apart: `it's, "here".` has the tokens `it 's , " here " .`.

    Text is joined by Moses' rules, which put spaces where people usually write them; they may differ from the original.

    Args:
        language: two letters; decides which full stops belong to an abbreviation, and which spaces are written.

    Raises:
        UserError: for a language that Moses has no rules for.
    """

    language: str = "en"

    unit: ClassVar[str] = "word"
    option: ClassVar[str] = "punctuation"

    def tokens(self, text: str) -> list[str]:
        split = _moses(self.language)[0].tokenize
        found: list[str] = []
        for line in text.split("\n"):
            kept = KEPT if EOS in line or UNK in line else None
            found += split(line, escape=False, protected_patterns=kept)
            found.append(EOS)
        found.pop()  # what follows the last line end is no line
        return found

    def join(self, tokens: Sequence[str]) -> str:
        text: str = _moses(self.language)[1].detokenize(list(tokens), unescape=False)
        return text


@lru_cache
def _moses(language: str) -> tuple[Any, Any]:
    """The tokeniser and the detokeniser of a language."""
    asked = f"data/tokeniser={Punctuation.option}"
    known = needed("sacremoses.corpus", asked).NonbreakingPrefixes().available_langs.values()
    if language not in known:
        raise UserError(
            f"data.tokeniser.language={language}: the Moses tokeniser has no rules for it; choose the nearest of "
            f"{', '.join(sorted(set(known)))}"
        )
    moses = needed("sacremoses", asked)
    return moses.MosesTokenizer(language), moses.MosesDetokenizer(language)
