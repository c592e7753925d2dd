"""The report as one printed page: what was compared, a table, a plot and three sentences."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from textwrap import shorten

from lm.studies.comparison import drawing, sentences
from lm.studies.comparison.document import ONE_SEED, differences_in_words, title
from lm.studies.comparison.figures import Figures
from lm.studies.comparison.group_figures import GroupFigures, Perplexity, shared
from lm.studies.comparison.sections.prediction import both_changed
from lm.studies.comparison.sections.shared import texts
from lm.studies.comparison.sections.short import own_words, verdict
from lm.studies.comparison.sentences import estimate, number
from lm.studies.page import Block, Picture, Statements, Table, Text, markdown
from lm.studies.plots import PALETTE

WORDS = 450
"""Largest number of words of report.md, its table's bars and the like among them."""
ROWS = 12
"""Largest number of settings in the table: more do not fit a sheet of A4."""
DRAWN = len(PALETTE)
"""Largest number of settings in the plot, each with a colour of its own."""


def brief_page(report: Figures) -> tuple[str, list[Block]]:
    """The title and the blocks of a page of at most `WORDS` words; settings that do not fit are counted on it."""
    order, name = _best_first(report), title(report)
    curves = _curves(report, order[:DRAWN])
    for rows in range(min(ROWS, len(order)), 0, -1):
        blocks = _blocks(report, order, rows, curves)
        if len(markdown(name, blocks).split()) <= WORDS:
            break
    return name, blocks


def _best_first(report: Figures) -> list[GroupFigures]:
    """The groups by what the verdict rests on; in order of appearance where nothing compares."""
    groups = {run.name: run.group for run in report.runs}
    if chosen := [row.group for row in report.tuned] or [groups[row.run] for row in report.ranking if row.ranked]:
        places = {name: place for place, name in enumerate(dict.fromkeys(chosen))}
        last = len(places)  # then by validation
        valid = {group.name: group.valid.mean if group.valid else math.inf for group in report.groups}
        return sorted(report.groups, key=lambda group: (places.get(group.name, last), valid[group.name]))
    if report.incomparable:
        return report.groups
    return sorted(report.groups, key=lambda group: group.test.mean if group.test else math.inf)


def _blocks(report: Figures, order: Sequence[GroupFigures], rows: int, curves: Picture | None) -> list[Block]:
    picture = curves or drawing.differences(report)
    elsewhere = Text(_elsewhere(report, order, rows, drawn=curves is not None))
    blocks: list[Block] = [Text(_compared(report)), Statements(_said(report, order)), _table(report, order[:rows])]
    return [*blocks, picture, elsewhere] if picture else [*blocks, elsewhere]


def _compared(report: Figures) -> str:
    """What was compared: how many runs, and what all of them share."""
    runs = report.runs
    seeds = sorted({len(group.runs) for group in report.groups})
    each = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    typed = [o for o in runs[0].overrides if all(o in run.overrides for run in runs)]
    alike = [
        f"{value:,} {what}"
        for what, value in (
            ("tokens of training", shared(run.training.get("tokens") for run in runs)),
            ("updates", shared(run.training.get("updates") for run in runs)),
            ("weights", shared(run.parameters for run in runs)),
            ("words in the vocabulary", shared(run.vocabulary for run in runs)),
        )
        if value is not None
    ]
    settings = f"{len(report.groups)} setting{'s' * (len(report.groups) != 1)}"
    said = [f"{len(runs)} runs in {settings}, {each} seed{'s' * (each != '1')} of each."]
    if 1 < len(report.groups) <= 3:
        said.append(differences_in_words(report).strip())
    if typed:
        said.append(f"Typed for all: {shorten(' '.join(typed), 200, placeholder=' ...')}.")
    if alike:
        said.append(f"Alike in all: {', '.join(alike)}.")
    if report.left_out:
        said.append(f"Left out, because they failed or did not end: {len(report.left_out)} (in report.json).")
    return " ".join(said)


def _said(report: Figures, order: Sequence[GroupFigures]) -> list[str]:
    """Three sentences: the verdict, one more result, and what limits them."""
    level = min(report.perplexities, default=None)
    reached = [] if level is None else [sentences.reached(level, order[:2])]
    ranked = next((row for row in report.ranking if row.ranked), None)
    bits = (
        [f"Lowest bits per byte of the test text: {order[0].name} ({number(ranked.bits_per_byte)})."] if ranked else []
    )
    if changed := both_changed(order[:2]):
        limit = changed
    elif report.incomparable:
        limit = "Perplexities compare within a setting only, and with none of another text or vocabulary."
    elif all(len(group.runs) == 1 for group in order):
        limit = ONE_SEED
    else:
        limit = "These figures compare with one another, and with none of another text or vocabulary."
    return [*[*verdict(report), *bits, *own_words(report), *reached][:2], limit]


def _table(report: Figures, groups: Sequence[GroupFigures]) -> Table:
    """Perplexities with their unknown tokens: in the caption if all settings have the same, else in columns."""
    figures: tuple[tuple[str, Callable[[GroupFigures], Perplexity | None]], ...] = (
        ("valid perplexity", lambda group: group.valid),
        ("test perplexity", lambda group: group.test),
        ("test, free running", lambda group: group.test_free_running),
    )
    header, columns, unknown = ["", "seeds"], [[g.name for g in groups], [str(len(g.runs)) for g in groups]], []
    for name, figure in figures:
        found = [figure(group) for group in groups]
        if not any(found):
            continue
        counts = [sentences.unknown(part.unknown, part.tokens) if part else "-" for part in found]
        header.append(name)
        columns.append([estimate(part) for part in found])
        if len(set(counts)) == 1:
            unknown.append(f"{name} {counts[0]}")
        else:
            header.append("unknown")
            columns.append(counts)
    if report.ranking:
        bits = {row.run: row.bits_per_byte for row in report.ranking if row.ranked}
        header.append("bits per byte")
        columns.append([" / ".join(number(bits.get(run)) for run in group.runs) for group in groups])
    header.append("tokens/s")
    columns.append([number(group.tokens_per_second, 3) for group in groups])
    level = f"{100 * report.settings.confidence:g}%"
    better = "" if report.incomparable else ", lower is better"
    caption = f"Perplexity of the best epoch{better}; in brackets {level} intervals over seeds."
    if any(group.test_free_running for group in groups):
        caption += " Free running: it reads its own words."
    if unknown:
        caption += f" Tokens read as <unk>: {'; '.join(unknown)}."
    return Table(header, [list(row) for row in zip(*columns, strict=True)], caption)


def _curves(report: Figures, groups: Sequence[GroupFigures]) -> Picture | None:
    """Validation curves of the groups on the first one's text."""
    runs = [run for group in groups for run in report.runs if run.group == group.name]
    part = replace(report, groups=list(groups), runs=runs)
    return drawing.curves(part, "validation", runs[0].text, width=8.5)


def _elsewhere(report: Figures, order: Sequence[GroupFigures], rows: int, drawn: bool) -> str:
    """What this page leaves out, where that is, and what made the figures."""
    sorted_by_figures = report.tuned or any(row.ranked for row in report.ranking) or not report.incomparable
    first = "best" if sorted_by_figures else "first"
    said = []
    if rows < len(order):
        said.append(f"The table has the {first} {rows} of {len(order)} settings; {len(order) - rows} are left out.")
    if drawn and len(order) > DRAWN:
        said.append(f"The plot has the {first} {DRAWN}.")
    if drawn and len(texts(report)) > 1:
        said.append(f"The plot has the runs on the text of {order[0].name}.")
    said.append("All settings are in report.json and in the long report: the same command with brief=false.")
    made = [run.provenance for run in report.runs]
    known = {key: shared(part.get(key) for part in made) for key in ("recurrent-lm", "commit", "torch", "device")}
    if known["commit"]:
        known["commit"] = known["commit"][:9] + known["commit"][40:]  # "-dirty" stays
    said.append(f"Made with {', '.join(f'{key} {value}' for key, value in known.items() if value)}.")
    return " ".join(said)
