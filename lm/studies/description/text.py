"""The figures of a corpus as text."""

from __future__ import annotations

from lm.data.repeated_lines import LONG
from lm.studies.description.figures import Figures
from lm.system.terminal import aligned


def text(found: Figures) -> str:
    """Tables of counts, of unknown words and of repeated lines."""
    splits = found.splits
    rows: list[list[str]] = [["", *splits]]
    for name in ("tokens", "words", "characters", "bytes", "lines", "types"):
        rows.append([name, *(f"{getattr(split, name):,}" for split in splits.values())])
    if any(one.documents for one in splits.values()):
        rows.append(["documents", *(f"{one.documents:,}" for one in splits.values())])
    rows.append(["unknown tokens", *(f"{one.unknown:,}" for one in splits.values())])
    rows.append(["  share", *(f"{one.unknown / max(1, one.tokens):.1%}" for one in splits.values())])
    rows.append(["unknown types", *(f"{one.unknown_types:,}" for one in splits.values())])
    rows.append(["tokens a line: mean", *(f"{one.lengths.mean:.1f}" for one in splits.values())])
    for name, field in (("5%", "low"), ("median", "median"), ("95%", "high"), ("longest", "longest")):
        rows.append([f"  {name}", *(f"{getattr(one.lengths, field):,.0f}" for one in splits.values())])
    parts = [f"vocabulary: {found.vocabulary:,} {found.unit}s", "\n".join(aligned(rows, "l" + "r" * len(splits)))]
    curve = [["vocabulary", *splits]]
    curve += [[f"{size:,}", *(f"{share:.1%}" for share in shares.values())] for size, shares in found.curve.items()]
    if found.curve:
        table = "\n".join(aligned(curve, "r" * len(curve[0])))
        parts.append(f"unknown tokens at other sizes of the vocabulary:\n{table}")
    for name, one in splits.items():
        if one.frequent_unknown:
            words = ", ".join(f"{word} {count:,}" for word, count in one.frequent_unknown)
            parts.append(f"most frequent unknown words of the {name} text: {words}")
    for name, lines in found.repeated.items():
        count = f"{lines.repeated:,} of {lines.long:,} lines of {LONG} or more ({lines.share:.1%})"
        examples = [f"  {one if len(one) <= 100 else one[:97] + '...'}" for one in found.repeated_lines[name]]
        parts.append("\n".join([f"{name}: {count} are in the training text too", *examples]))
    return "\n\n".join(parts)
