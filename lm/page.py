"""A report as a list of blocks, written as one self-contained HTML page and as Markdown with its pictures beside it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Literal

from lm.plots import data_uri

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; } h2 { font-size: 1.25rem; margin-top: 2.2rem; border-bottom: 1px solid #ddd; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .8rem; border-bottom: 1px solid #ddd; text-align: right; }
th:first-child, td:first-child { text-align: left; }
pre { background: #f5f5f5; padding: .8rem; white-space: pre-wrap; overflow-wrap: anywhere; }
img { max-width: 100%; } figure { margin: 1rem 0; } figcaption { color: #555; font-size: .92rem; }
"""


@dataclass(frozen=True)
class Text:
    """A heading of a section, a paragraph, an item of a list, or text that stands as it is."""

    text: str
    kind: Literal["heading", "paragraph", "item", "literal"] = "paragraph"


@dataclass(frozen=True)
class Table:
    """A row of names, and rows of cells under it."""

    names: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Picture:
    """A PNG, the file name it gets beside the Markdown, and what it shows."""

    name: str
    content: bytes
    caption: str


Block = Text | Table | Picture


def to_html(title: str, blocks: Sequence[Block]) -> str:
    """One page that needs no other file."""
    body = "\n".join(_html(block) for block in blocks).replace("</ul>\n<ul>", "")
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head>\n<body>\n<h1>{escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    )


def to_markdown(title: str, blocks: Sequence[Block]) -> str:
    """The same for a reader of plain text; pictures by their names."""
    return "\n\n".join([f"# {title}", *(_markdown(block) for block in blocks)]).replace("\n\n- ", "\n- ") + "\n"


def write(folder: Path, title: str, blocks: Sequence[Block]) -> None:
    """report.html, report.md and the pictures, into a folder that is there."""
    for block in blocks:
        if isinstance(block, Picture):
            (folder / block.name).write_bytes(block.content)
    (folder / "report.html").write_text(to_html(title, blocks), encoding="utf-8")
    (folder / "report.md").write_text(to_markdown(title, blocks), encoding="utf-8")


def _html(block: Block) -> str:
    if isinstance(block, Picture):
        caption = escape(block.caption)
        return (
            f'<figure><img src="{data_uri(block.content)}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'
        )
    if isinstance(block, Table):
        names = "".join(f"<th>{escape(name)}</th>" for name in block.names)
        rows = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in block.rows)
        return f"<table>\n<tr>{names}</tr>\n{rows}\n</table>"
    text = (
        re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(block.text)) if block.kind != "literal" else escape(block.text)
    )
    kinds = {"heading": f"<h2>{text}</h2>", "item": f"<ul><li>{text}</li></ul>", "literal": f"<pre>{text}</pre>"}
    return kinds.get(block.kind, f"<p>{text}</p>")


def _markdown(block: Block) -> str:
    if isinstance(block, Picture):
        return f"![{block.caption}]({block.name})\n\n{block.caption}"
    if isinstance(block, Table):
        return table_text([block.names, ["---", *["---:"] * (len(block.names) - 1)], *block.rows])
    kinds = {"heading": f"## {block.text}", "item": f"- {block.text}", "literal": f"```\n{block.text}\n```"}
    return kinds.get(block.kind, block.text)


def table_text(rows: Sequence[Sequence[str]]) -> str:
    """Rows as lines of Markdown."""
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)
