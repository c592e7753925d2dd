"""The bytes of UTF-8: any text in any language has tokens, and none is unknown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from lm.data.plain_text import utf8
from lm.data.tokenisers.tokeniser import EOS, Tokeniser

LINE_END = 10
NAMES = [EOS if i == LINE_END else chr(i) if 0x20 <= i < 0x7F else f"<0x{i:02X}>" for i in range(256)]
"""The token of each byte: ASCII as it is, other bytes by their hexadecimal value, the line end as `<eos>`."""
BYTES = {name: bytes([i]) for i, name in enumerate(NAMES)}


@dataclass(frozen=True, kw_only=True)
class Bytes(Tokeniser):
    """Each byte of the text in UTF-8 is a token. The vocabulary is all 256 bytes."""

    brings_words: ClassVar[bool] = True
    unit: ClassVar[str] = "byte"
    option: ClassVar[str] = "bytes"

    def tokens(self, text: str) -> list[str]:
        return list(map(NAMES.__getitem__, utf8(text)))

    def join(self, tokens: Sequence[str]) -> str:
        """The text; a byte that belongs to no character becomes U+FFFD."""
        return b"".join(BYTES.get(token, token.encode()) for token in tokens).decode("utf-8", errors="replace")

    @property
    def own_words(self) -> Sequence[str]:
        return NAMES
