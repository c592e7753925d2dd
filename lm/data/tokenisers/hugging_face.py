"""Tokenisers of the package `tokenizers` of Hugging Face: byte-pair encoding, or any that is in a tokenizer.json."""

from __future__ import annotations

import json
from bisect import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from lm.data.plain_text import utf8
from lm.data.tokenisers.tokeniser import EOS, UNK, Tokeniser
from lm.system.bounds import AtLeast
from lm.system.errors import UserError
from lm.system.extras import needed
from lm.system.terminal import say

SMALLEST = 256 + 2  # every byte, `<eos>` and `<unk>`


@dataclass(frozen=True, kw_only=True)
class HuggingFace(Tokeniser):
    """A tokeniser that is described by the text of a tokenizer.json. Each line of a text is split by itself.

    Special tokens that begin or end a text are not used: a line's end is `<eos>`. The tokeniser's unknown token is
    `<unk>`.
    """

    content: str = ""

    brings_words: ClassVar[bool] = True

    def tokens(self, text: str) -> list[str]:
        tokenizer, words = _read(self.content, self.option)
        found: list[str] = []
        for line in tokenizer.encode_batch_fast(_lines(text), add_special_tokens=False):
            found += map(words.__getitem__, line.ids)
            found.append(EOS)
        found.pop()  # what follows the last line end is no line
        return found

    def join(self, tokens: Sequence[str]) -> str:
        decoder = _read(self.content, self.option)[0].decoder
        text: str = " ".join(tokens) if decoder is None else decoder.decode(list(tokens))
        return text

    def _placed(self, tokens: list[str], parts: list[str]) -> list[list[str]]:
        prepared = list(map(self.prepared, parts))
        line = _read(self.content, self.option)[0].encode("".join(prepared), add_special_tokens=False)
        ends = list(accumulate(map(len, prepared)))
        found: list[list[str]] = [[] for _ in parts]
        for token, (_, end) in zip(tokens, line.offsets, strict=True):
            found[min(bisect(ends, end - 1), len(ends) - 1)].append(token)
        return found

    def shown(self, token: str) -> str:
        readable = self.join([token])
        return token if "\ufffd" in readable or not readable else readable

    @property
    def own_words(self) -> Sequence[str]:
        return list(_read(self.content, self.option)[1].values())


@dataclass(frozen=True, kw_only=True)
class BPE(HuggingFace):
    """Byte-pair encoding (Sennrich et al. 2016) of bytes (Radford et al. 2019), learned from the training text.

    Frequent words are tokens, rare ones are spelled in parts. Every byte is a token, so that none is unknown.

    Args:
        size: tokens in the vocabulary, `<eos>` and `<unk>` included; a small text gives fewer.
    """

    size: Annotated[int, AtLeast(SMALLEST)] = 8000

    option: ClassVar[str] = "bpe"

    def trained(self, pieces: Iterable[str]) -> Self:
        if self.content:
            return self
        package = needed("tokenizers", f"data/tokeniser={self.option}")
        tokenizer = package.Tokenizer(package.models.BPE())
        tokenizer.pre_tokenizer = package.pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = package.decoders.ByteLevel()
        alphabet = sorted(package.pre_tokenizers.ByteLevel.alphabet())
        trainer = package.trainers.BpeTrainer(vocab_size=self.size - 2, initial_alphabet=alphabet, show_progress=False)
        tokenizer.train_from_iterator((_lines(self.prepared(text)) for text in pieces), trainer)
        if (found := tokenizer.get_vocab_size() + 2) < self.size:
            say(f"the training text gives {found:,} byte-pair tokens, fewer than data.tokeniser.size={self.size}")
        return replace(self, content=tokenizer.to_str())


@dataclass(frozen=True, kw_only=True)
class File(HuggingFace):
    """The tokeniser in a file tokenizer.json. Its content is kept in a checkpoint, so that the file may be deleted.

    Args:
        path: the file.

    Raises:
        UserError: when the file is read, if it cannot be read or describes no tokeniser.
    """

    path: str | None = None

    option: ClassVar[str] = "file"

    def trained(self, pieces: Iterable[str]) -> Self:
        return self if self.content else replace(self, content=self._read_file(), path=None)

    def source(self) -> dict[str, Any]:
        return self.trained([]).as_node()

    def _read_file(self) -> str:
        if not self.path:
            raise UserError("data.tokeniser.path is missing; name the file: data.tokeniser.path=.../tokenizer.json")
        try:
            content = Path(self.path).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"data.tokeniser.path: cannot read {self.path}: {getattr(error, 'strerror', error)}; name a "
                "tokenizer.json"
            ) from None
        try:
            _read(content, self.option)
        except UserError as error:
            raise UserError(f"data.tokeniser.path: {self.path} {error}") from None
        return content


@lru_cache(maxsize=4)
def _read(content: str, option: str) -> tuple[Any, dict[int, str]]:
    """The tokeniser that a tokenizer.json describes, and its words by id. Raises UserError if it describes none."""
    package = needed("tokenizers", f"data/tokeniser={option}")
    try:
        tokenizer = package.Tokenizer.from_str(content)
        unknown = _unknown_token(json.loads(content).get("model", {}))
        ids = tokenizer.get_vocab()
        words = {ids[word]: UNK if word == unknown else word for word in sorted(ids, key=ids.__getitem__)}
    except Exception as error:  # the package raises plain Exceptions
        raise UserError(f"is not the tokenizer.json of Hugging Face's tokenizers: {error}") from None
    if unknown not in ids and not _spells_bytes(json.loads(content)):
        raise UserError(
            "describes a tokeniser without an unknown token, which would drop what it does not know, or fail: give it "
            "an unk_token that is in its vocabulary, or bytes (byte_fallback, ByteLevel)"
        )
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if len(words) < 2:
        raise UserError("describes a tokeniser with fewer than two tokens; a language model needs two")
    return tokenizer, words


def _spells_bytes(described: dict[str, Any]) -> bool:
    """Whether a tokeniser spells what it does not know in bytes."""
    kinds = [described.get(part) or {} for part in ("pre_tokenizer", "normalizer")]
    kinds += [one for kind in kinds for one in kind.get("pretokenizers", []) + kind.get("normalizers", [])]
    return any(kind.get("type") == "ByteLevel" for kind in kinds) or bool(described["model"].get("byte_fallback"))


def _lines(text: str) -> list[str]:
    """The lines of a text. A byte that belongs to no character becomes U+FFFD, because the package accepts no other."""
    return utf8(text).decode("utf-8", errors="replace").split("\n")


def _unknown_token(model: dict[str, Any]) -> str | None:
    if model.get("unk_id") is not None:  # Unigram
        token: str = model["vocab"][model["unk_id"]][0]
        return token
    return model.get("unk_token")
