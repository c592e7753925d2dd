"""Writes a document, made of a few kinds of blocks, as one self-contained HTML page and as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lm.studies.plots import data_uri


@dataclass(frozen=True)
class Heading:
    text: str
    level: int = 2

    @property
    def anchor(self) -> str:
        """What a link to the heading ends in: as GitHub makes it, so that links work in both forms of a page."""
        return re.sub(r"[^\w\- ]", "", self.text.lower()).replace(" ", "-")


@dataclass(frozen=True)
class Contents:
    """Links to the sections of a page."""

    sections: Sequence[Heading]


@dataclass(frozen=True)
class Text:
    text: str


@dataclass(frozen=True)
class Statements:
    """A block of sentences that follow from measured numbers."""

    sentences: Sequence[str]


@dataclass(frozen=True)
class Table:
    """A table; its first column has the rows' names. With `verbatim` the remaining columns
    show text as written, with its line breaks."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    verbatim: bool = False


@dataclass(frozen=True)
class Picture:
    """A PNG picture. `name` is the file's name in the Markdown's folder; `alt` describes the picture."""

    name: str
    content: bytes
    alt: str

    @property
    def width(self) -> int:
        """Width on the page in pixels, from the PNG's header; at this width its letters are as large as the text's."""
        return round(int.from_bytes(self.content[16:20], "big") * 0.69)


Block = Heading | Contents | Text | Statements | Table | Picture

PAGE = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    trim_blocks=True,
    keep_trailing_newline=True,
    undefined=StrictUndefined,
)
PAGE.filters["data_uri"] = data_uri


def write(folder: Path, title: str, blocks: Sequence[Block], one_sheet: bool = False) -> Path:
    """Write report.html, which needs no other file, and report.md with its pictures; returns the page's path.

    `one_sheet`: the page is a short one, and printed so that it fits a sheet of A4.
    """
    for block in blocks:
        if isinstance(block, Picture):
            (folder / block.name).write_bytes(block.content)
    (folder / "report.md").write_text(markdown(title, blocks), encoding="utf-8")
    page = folder / "report.html"
    page.write_text(html(title, blocks, one_sheet), encoding="utf-8")
    return page


def html(title: str, blocks: Sequence[Block], one_sheet: bool = False) -> str:
    """The HTML page of the blocks. The page contains its pictures and loads no other file."""
    named = [(type(block).__name__, block) for block in blocks]
    return PAGE.get_template("page.html.jinja").render(title=title, blocks=named, one_sheet=one_sheet)


def markdown(title: str, blocks: Sequence[Block]) -> str:
    """The document of the blocks as Markdown; pictures are separate files (see `Picture.name`)."""
    return "\n\n".join([f"# {_plain(title)}", *map(_markdown, blocks)]) + "\n"


def _markdown(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {_plain(text)}"
        case Contents(sections):
            links = (f"- [{_plain(section.text)}](#{section.anchor})" for section in sections)
            return "\n".join(["Contents:", "", *links])  # the line keeps two lists apart
        case Text(text):
            return _plain(text)
        case Statements(sentences):
            return "\n".join(f"- {_plain(sentence)}" for sentence in sentences)
        case Picture(name, _, alt):
            return f"![{_plain(alt)}]({name})"
        case Table(header, rows, caption, _):
            lines = [header, ["---"] * len(header), *rows]
            table = "\n".join("| " + " | ".join(_plain(cell) for cell in line) + " |" for line in lines)
            return f"{_plain(caption)}\n\n{table}" if caption else table


def _plain(text: str) -> str:
    """Escape text for Markdown, so that `<unk>` is not read as a tag and `|` not as the end of a table cell."""
    for sign in "\\`*_[]|":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("<", "&lt;").replace(">", "&gt;").replace("\n", "<br>")
