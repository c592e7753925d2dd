"""A document of a few kinds of blocks, as one HTML page that needs nothing beside it, and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from lm.studies.plots import data_uri


@dataclass(frozen=True)
class Heading:
    text: str
    level: int = 2


@dataclass(frozen=True)
class Text:
    text: str


@dataclass(frozen=True)
class Statements:
    """Sentences that follow from figures."""

    sentences: Sequence[str]


@dataclass(frozen=True)
class Table:
    """The first column names the row; `verbatim` columns hold text as a model wrote it, line breaks included."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    verbatim: bool = False


@dataclass(frozen=True)
class Picture:
    """A PNG; `name` is the file's, beside the Markdown; `alt` says what is to be seen."""

    name: str
    content: bytes
    alt: str


Block = Heading | Text | Statements | Table | Picture

CSS = """
body { font: 16px/1.5 Georgia, "Times New Roman", serif; color: #1a1a1a; background: #fff; margin: 2rem auto;
  max-width: 68rem; padding: 0 1.5rem; }
h1, h2, h3, table, caption { font-family: "Helvetica Neue", Arial, "Liberation Sans", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 1rem; }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .6rem; border-top: 2px solid #1a1a1a; padding-top: .6rem; }
h3 { font-size: 1rem; margin: 1.6rem 0 .4rem; }
p { max-width: 48rem; margin: .6rem 0; }
ul { max-width: 48rem; padding-left: 1.2rem; margin: .6rem 0; }
li { margin: .35rem 0; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .82rem; line-height: 1.35; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: #555; padding-bottom: .4rem; max-width: 48rem; }
th { text-align: left; font-weight: 600; border-bottom: 1.5px solid #1a1a1a; vertical-align: bottom; }
th, td { padding: .3rem .9rem .3rem 0; }
td { border-bottom: 1px solid #ddd; vertical-align: top; }
td.words { white-space: pre-wrap; font-family: "Liberation Mono", Menlo, Consolas, monospace; font-size: .74rem;
  min-width: 17rem; overflow-wrap: anywhere; }
figure { margin: 1rem 0; }
img { max-width: 100%; height: auto; }
code { font-size: .85em; overflow-wrap: anywhere; }
@media print { body { font-size: 10.5pt; margin: 0; max-width: none; padding: 0; } .wide { overflow: visible; }
  h2, h3 { break-after: avoid; } figure, tr, li { break-inside: avoid; } table { font-size: 8pt; } }
"""


def write(folder: Path, title: str, blocks: Sequence[Block]) -> Path:
    """report.html, which needs no other file, and report.md with its pictures beside it; the page's path."""
    for block in blocks:
        if isinstance(block, Picture):
            (folder / block.name).write_bytes(block.content)
    (folder / "report.md").write_text(markdown(title, blocks), encoding="utf-8")
    page = folder / "report.html"
    page.write_text(html(title, blocks), encoding="utf-8")
    return page


def html(title: str, blocks: Sequence[Block]) -> str:
    """The page; pictures lie inside, and nothing is fetched from anywhere."""
    body = "\n".join(map(_html, blocks))
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{CSS}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    )


def markdown(title: str, blocks: Sequence[Block]) -> str:
    """The same with pictures as files beside it (see `Picture.name`)."""
    return "\n\n".join([f"# {_plain(title)}", *map(_markdown, blocks)]) + "\n"


def _html(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"<h{level}>{escape(text)}</h{level}>"
        case Text(text):
            return f"<p>{escape(text)}</p>"
        case Statements(sentences):
            return "<ul>\n" + "\n".join(f"<li>{escape(sentence)}</li>" for sentence in sentences) + "\n</ul>"
        case Picture(_, content, alt):
            width = round(
                int.from_bytes(content[16:20], "big") * 0.69
            )  # as in a PNG's header; letters then fit the text's
            return f'<figure><img width="{width}" src="{data_uri(content)}" alt="{escape(alt)}"></figure>'
        case Table(header, rows, caption, verbatim):
            kind = ' class="words"' if verbatim else ""
            head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
            lines = [
                f"<tr><td>{escape(first)}</td>{''.join(f'<td{kind}>{escape(cell)}</td>' for cell in rest)}</tr>"
                for first, *rest in rows
            ]
            about = f"<caption>{escape(caption)}</caption>" if caption else ""
            return (
                f'<div class="wide"><table>{about}<thead><tr>{head}</tr></thead>\n<tbody>\n'
                + "\n".join(lines)
                + "\n</tbody></table></div>"
            )


def _markdown(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {_plain(text)}"
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
    """Text that Markdown shows as it is: `<unk>` is a word, no tag, and a bar ends no cell."""
    for sign in "\\`*_[]|":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("<", "&lt;").replace(">", "&gt;").replace("\n", "<br>")
