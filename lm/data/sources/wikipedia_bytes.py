"""enwik8 and text8: 100 million bytes of Wikipedia in 2006, as they are, or reduced to a-z and spaces (Mahoney).

The splits are the first 90 million bytes, the next 5 and the last 5, as in public code: enwik8 in
salesforce/awd-lstm-lm, data/enwik8/prep_enwik8.py; text8 in kimiyoung/transformer-xl, prep_text8.py. The `*.txt.raw`
files that these scripts write are read too; their `*.txt` files, in which tokens stand between spaces, are not.

A byte is a token, a line end is the token `<eos>`. No `<eos>` is added at the end of a split, which may end within a
line or within a character.

Taken from public code, not computed here: the checksums of enwik8 (SHA-256) and text8 (MD5), and the SHA-256 of
their archives, on which the public repositories that we found agree (ten for each).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from lm.data.source import SPLITS
from lm.data.sources.parquet_text import rows
from lm.data.sources.published import Archive, Layout, PublishedFiles
from lm.data.sources.published_counts import Counts, PublishedCorpus
from lm.data.streams import EVAL_WINDOW
from lm.data.text_file import PIECE_BYTES
from lm.data.tokenisers import Bytes, Tokeniser
from lm.data.vocabulary_choice import VocabularyChoice
from lm.system.bounds import Count
from lm.system.errors import UserError

SITES = ("https://mattmahoney.net/dc/", "http://mattmahoney.net/dc/")  # public code names both; the checksum decides
BYTES = 100_000_000
BYTES_OF_TEXT = Bytes()
CHECKSUM = {
    "enwik8": "sha256:2b49720ec4d78c3c9fabaee6e4179a5e997302b3a70029f30f2d582218c024a8",
    "text8": "md5:3bea1919949baf155f99411df5fada7e",
}
ARCHIVE_SHA256 = {
    "enwik8": "547994d9980ebed1288380d652999f38a14fe291a6247c157c3d33d4932534bc",
    "text8": "a6640522afe85d1963ad56c05b0ede0a0c000dddc9671758a6cc09b7a38e5232",
}
PARTS = {"train": 90_000_000, "valid": 5_000_000, "test": 5_000_000}
COUNTS = {"enwik8": Counts(PARTS), "text8": Counts(PARTS, 27)}


class WikipediaBytes(PublishedFiles):
    """`enwik8` or `text8`: one file, cut into 90%, 5% and 5% of its bytes, or three files.

    Raises UserError when a file of exactly 100 million bytes is read that has a wrong checksum.
    """

    def __init__(self, name: str) -> None:
        layouts = [name, "{split}.txt.raw", "{split}-*.parquet", "data/{split}-*.parquet"]
        if name == "enwik8":  # of Hugging Face's two forms only this one is the text: the other has lost white space
            layouts[2:] = ["enwik8-raw/train-*.parquet", "train-*.parquet"]
        archive = Archive(
            f"{name}.zip", [f"{site}{name}.zip" for site in SITES], f"sha256:{ARCHIVE_SHA256[name]}", {name: name}
        )
        super().__init__(name, name, layouts, archive)

    def size(self, split: str) -> int | None:
        layout, paths = self.located(split)
        if layout.parquet:
            return None
        start, end = _span(split, paths[0].stat().st_size, layout.uncut)
        return end - start

    def pieces(self, split: str) -> Iterator[str]:
        layout, paths = self.located(split)
        if layout.uncut and not layout.parquet:
            self._check(paths[0])
        try:
            with self._opened(layout, paths) as file:
                start, end = _span(split, file.seek(0, io.SEEK_END), layout.uncut)
                at = file.seek(start)
                while at < end:
                    data = file.read(min(PIECE_BYTES, end - at))
                    if not data.endswith(b"\n"):  # text8 is one line, so its pieces end anywhere
                        data += file.readline(min(PIECE_BYTES, end - at - len(data)))
                    yield data.decode("utf-8", errors="surrogateescape")
                    at += len(data)
        except OSError as error:
            raise UserError(f"cannot read {paths[0]}: {error.strerror}; check the file and its rights") from None
        yield ""  # after an empty last piece the reader adds no line end

    @staticmethod
    def _opened(layout: Layout, paths: Sequence[Path]) -> BinaryIO:
        """The bytes of a layout's files."""
        if not layout.parquet:
            return paths[0].open("rb")
        return io.BytesIO("".join(text for path in paths for texts in rows(path) for text in texts).encode())

    def _check(self, path: Path) -> None:
        algorithm, _, known = CHECKSUM[self.name].partition(":")
        if path.stat().st_size != BYTES:
            return  # an excerpt, of which the counts speak
        with path.open("rb") as file:
            found = hashlib.file_digest(file, algorithm).hexdigest()
        if found != known:
            raise UserError(
                f"{path} is not {self.name}: its {algorithm} is {found}, not {known} (changed). Delete it to have it "
                f"downloaded again, or train on it as it is: data=text data.train={path} data/tokeniser=bytes"
            )


def _span(split: str, size: int, uncut: bool) -> tuple[int, int]:
    """The first byte of a split in its file, and the byte after its last one."""
    cuts = [0, size * 90 // 100, size * 95 // 100, size]
    number = SPLITS.index(split)
    return (cuts[number], cuts[number + 1]) if uncut else (0, size)


def _corpus(name: str, batch_size: int, window: int, eval_window: int, tokeniser: Tokeniser) -> PublishedCorpus:
    source, choice = WikipediaBytes(name), VocabularyChoice(tokeniser)
    return PublishedCorpus(COUNTS[name], True, BYTES_OF_TEXT, source, batch_size, window, eval_window, choice)


def enwik8(
    batch_size: Count, window: Count, eval_window: Count = EVAL_WINDOW, tokeniser: Tokeniser = BYTES_OF_TEXT
) -> PublishedCorpus:
    """enwik8: 90 / 5 / 5 million bytes, each a token."""
    return _corpus("enwik8", batch_size, window, eval_window, tokeniser)


def text8(
    batch_size: Count, window: Count, eval_window: Count = EVAL_WINDOW, tokeniser: Tokeniser = BYTES_OF_TEXT
) -> PublishedCorpus:
    """text8: 90 / 5 / 5 million characters, of 27: a to z and the space."""
    return _corpus("text8", batch_size, window, eval_window, tokeniser)
