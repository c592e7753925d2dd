"""One file of text: plain, compressed by gzip (.gz), or JSON Lines, of which one field is the text."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, cast

from lm.data.plain_text import decoded, normalised, with_last_line_end
from lm.system.errors import UserError

MEND = "mend or delete the line"
PIECE_BYTES = 1 << 20  # text is read and encoded a megabyte at a time, so that memory stays flat


@dataclass(frozen=True)
class TextFile:
    """A file of text. `name` is the setting that names it, for messages; `field` the field of JSON Lines, or None.

    Positions in the text are bytes before decoding and after decompression. Methods raise UserError for a file that
    cannot be read, is cut short, or is not text.
    """

    path: Path
    name: str
    field: str | None = None

    def check(self) -> None:
        """Raise UserError if the file is missing or empty."""
        if not self.path.is_file():
            what = "is a folder without .txt, .jsonl or .gz files" if self.path.is_dir() else "does not exist"
            raise UserError(f"{self.name}: {self.path} {what}; name a text file: {self.name}=FILE")
        if self.field is None and ".jsonl" in self.path.suffixes:
            raise UserError(f"{self.name}: {self.path} is JSON Lines; name the field of each text: data.field=text")
        if self.path.stat().st_size == 0:
            raise UserError(f"{self.name}: {self.path} is empty; name a file that contains text")

    @property
    def compressed(self) -> bool:
        return self.path.suffix == ".gz"

    def size(self) -> int:
        """The number of bytes of text. A compressed file is read to count them."""
        return _bytes_of_text(self, self.path.stat().st_mtime_ns) if self.compressed else self.path.stat().st_size

    def pieces(self, after: int = -1, until: int | None = None, mark: str = "") -> Iterator[str]:
        """Yield the text in pieces that end at line ends: all lines that begin at a byte in (`after`, `until`].

        `mark` stands before each document: a line of JSON Lines, or what is read of another file.
        """
        with self.opened() as file:
            at = 0
            if after >= 0:
                at = file.seek(after)
                at += len(file.readline())
            while until is None or at <= until:
                data = file.read(PIECE_BYTES if until is None else min(PIECE_BYTES, until - at + 1))
                if not data:
                    return
                if not data.endswith(b"\n"):
                    data += file.readline()
                if self.field is None:
                    yield mark + decoded(data, str(self.path), at)
                    mark = ""
                else:
                    yield self._documents(data, at, mark)
                at += len(data)

    def _documents(self, data: bytes, at: int, mark: str) -> str:
        """The texts of the documents in some lines of JSON Lines, each with `mark` and the end of its last line."""
        texts = []
        for row in data.splitlines(keepends=True):
            document = decoded(row, str(self.path), at)
            try:
                if document.strip():
                    text = json.loads(document)[self.field]
                    text.encode()  # refuses half a character
                    if "\0" in text:
                        raise ValueError
                    texts.append(mark + with_last_line_end(normalised(text)) if text else "")
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                what = f"not a JSON object with a text in the field {self.field!r}"
                remedy = "name the field of each document's text: data.field=NAME"
                if isinstance(error, json.JSONDecodeError):
                    what, remedy = f"not sound JSON ({error.msg} at character {error.pos + 1})", MEND
                elif isinstance(error, ValueError):
                    what, remedy = "its text has a zero, or half of a character", MEND
                raise UserError(
                    f"{self.path}, line {self._line(at)}: {what}: {document[:60].strip()}; {remedy}"
                ) from None
            at += len(row)
        return "".join(texts)

    def _line(self, at: int) -> int:
        """The number, from 1, of the line that begins at byte `at`."""
        with self.opened() as file:
            return 1 + file.read(at).count(b"\n")

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """The file opened for reading, decompressed."""
        try:
            with cast(BinaryIO, gzip.open(self.path) if self.compressed else self.path.open("rb")) as file:
                yield file
        except EOFError:
            raise UserError(f"{self.name}: {self.path} is cut short: copy or download it again") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise UserError(f"{self.name}: {self.path} is not a sound gzip file: {error}; copy it again") from None
        except OSError as error:
            raise UserError(
                f"{self.name}: cannot read {self.path}: {error.strerror}; check the name and the rights"
            ) from None


@lru_cache
def _bytes_of_text(compressed: TextFile, _: int) -> int:
    """The number of bytes of a compressed file's text; the second argument is when the file was changed."""
    with compressed.opened() as file:
        return sum(len(data) for data in iter(lambda: file.read(PIECE_BYTES), b""))
