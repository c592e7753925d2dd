"""Reads a file line by line, as its lines come."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from lm.data.plain_text import decoded
from lm.data.text_file import TextFile
from lm.system.errors import UserError


def lines_of(file: str, name: str) -> Iterator[tuple[int, str]]:
    """The numbered lines, from 1 and without their ends, of a file or of standard input (`-`). `name`: the setting."""
    if file == "-":
        if sys.stdin is None:
            raise UserError(f"{name}=-: standard input is closed; name a file")
        for number, data in enumerate(sys.stdin.buffer, 1):
            yield number, decoded(data, f"{name}: standard input").removesuffix("\n")
        return
    text = TextFile(Path(file).expanduser(), name)
    if text.path.is_file() and text.size() == 0:
        raise UserError(f"{name}: {file} is empty; name a file with a text in each line")
    number = 0
    for piece in text.pieces():
        for line in piece.removesuffix("\n").split("\n"):
            number += 1
            yield number, line
