"""All figures of a comparison as one dictionary, which report.json holds and the page is made from."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from lm.runs.run_folder import EVENTS
from lm.studies.comparison import curves
from lm.studies.comparison.checkpoint_measures import real_quality
from lm.studies.comparison.differences import agreement, differences, different_text, of_distances
from lm.studies.comparison.groups import Group, grouped
from lm.studies.comparison.measuring import Known, Refusal, look, measure
from lm.studies.comparison.reading import LeftOut, Run
from lm.studies.comparison.settings import Settings
from lm.studies.comparison.statistics import over_seeds
from lm.system.terminal import say


def figures(runs: list[Run], left_out: list[LeftOut], out: Path, settings: Settings) -> dict[str, Any]:
    """Measure what the runs left behind and compare it. Per-token nats of the test text are kept below `out`."""
    refused: list[dict[str, Any]] = []
    groups = grouped(runs)
    known = {run.name: Known(run) for run in runs}
    prompts = look(known.values(), refused, settings)
    for number, one in enumerate(known.values(), 1):
        say(f"[{number}/{len(known)}] {one.run.name}: test text, samples, embeddings ...")
        measure(one, prompts, out, refused, settings)
    best = [one.run.result["valid"].get("perplexity") or math.inf for one in known.values()]
    wanted = curves.levels(best, settings.perplexities)
    if len({one.text.key if one.text else None for one in known.values()}) > 1:
        wanted = []
        Refusal(refused, *known).note(
            "convergence to the same perplexities", different_text(list(known.values())) or ""
        )
    rows = [_row(known[run.name], group, wanted, refused) for group in groups for run in group.runs]
    texts = list({one.text.key: one.text for one in known.values() if one.text}.values())
    return {
        "settings": vars(settings),
        "perplexities": wanted,
        "prompts": prompts,
        "runs": rows,
        "left_out": [job._asdict() for job in left_out],
        "groups": [_group(group, rows, settings.confidence) for group in groups],
        "differences": differences(groups, known, refused, settings),
        "distances": of_distances(groups, rows, settings.confidence),
        "agreement": agreement(groups, known, refused, settings),
        "real_text": [
            {"runs": [n for n, one in known.items() if one.text and one.text.key == text.key], **(quality or {})}
            for text in texts
            for quality in [real_quality(text, settings)]
        ],
        "refused": refused,
    }


def _row(one: Known, group: Group, wanted: list[float], refused: list[dict[str, Any]]) -> dict[str, Any]:
    run, result = one.run, one.run.result
    valid = curves.validation(run)
    refusal = Refusal(refused, run.name)
    if not run.curves:
        refusal.note("curves and convergence", "there are no TensorBoard events in its folder")
    elif valid is None:
        refusal.note("convergence", "its events hold no validation")
    elif valid["seconds"] is None:
        refusal.note("curves over seconds", "the run did not log its training seconds")
    return {
        "name": run.name,
        "label": _label(run, group),
        "group": group.name,
        "seed": run.seed,
        "folder": str(run.folder),
        "files": {
            "result": str(run.folder / "result.json"),
            "events": [str(path) for path in sorted(run.folder.glob(EVENTS))],
            "checkpoint": one.figures.pop("checkpoint", None),
            "nats": one.figures.pop("nats_file", None),
        },
        "overrides": result.get("overrides") or [],
        "forcing": {key: run.config["forcing"].get(key) for key in ("feedback", "update")},
        "valid": result["valid"],
        "test": result["test"],
        "best_epoch": result["best"].get("epoch"),
        "training": result.get("training") or {},
        "tokens_per_second": result.get("tokens_per_second"),
        "vocabulary": len(one.vocab) if one.vocab else None,
        "text": one.text.key if one.text else None,
        "curves": {"training": curves.training(run), "validation": valid},
        "convergence": curves.convergence(valid, wanted),
        **{key: one.figures.get(key) for key in ("nats_per_token", "samples", "quality", "embeddings")},
    }


def _label(run: Run, group: Group) -> str:
    """How the page calls a run: by its setting, and its seed where there are several; by its folder if that is the
    setting's name too."""
    if group.name == run.name or group.name.startswith(f"{group.runs[0].name} and "):
        return run.name
    return group.name if len(group.runs) == 1 else f"{group.name}, seed {run.seed}"


def _group(group: Group, rows: list[dict[str, Any]], confidence: float) -> dict[str, Any]:
    """A group's runs as means with intervals; perplexities by the mean of their nats a token."""
    own = [row for row in rows if row["name"] in {run.name for run in group.runs}]
    figures: dict[str, Any] = {"name": group.name, "runs": [row["name"] for row in own], "forcing": own[0]["forcing"]}
    for split in ("valid", "test"):
        figures[split] = _perplexity([row[split] for row in own], confidence)
        figures[f"{split}_free_running"] = _perplexity(
            [row[split].get("free_running") or {} for row in own], confidence
        )
    speeds = [row["tokens_per_second"] for row in own if row["tokens_per_second"]]
    figures["tokens_per_second"] = sum(speeds) / len(speeds) if speeds else None
    figures["convergence"] = [_reached(row) for row in zip(*(row["convergence"] for row in own), strict=True)]
    for name in ("tokens", "updates"):
        counts = {row["training"].get(name) for row in own}
        figures[name] = counts.pop() if len(counts) == 1 else None
    return figures


def _perplexity(scores: list[dict[str, Any]], confidence: float) -> dict[str, Any] | None:
    """Perplexity of the mean of the runs' nats a token, with its interval over seeds; None where none was measured."""
    known = [score for score in scores if score.get("nats") and score.get("tokens")]
    if not known:
        return None
    nats = over_seeds([score["nats"] / score["tokens"] for score in known], confidence)
    low, high = (None if value is None else math.exp(value) for value in (nats.low, nats.high))
    tokens = sorted({int(score["tokens"]) for score in known})
    return {"mean": math.exp(nats.mean), "low": low, "high": high, "seeds": nats.over, "tokens": tokens}


def _reached(rows: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    """When a group's runs reached a perplexity: means over those that did, and how many."""
    reached = [row for row in rows if row["tokens"] is not None]
    found: dict[str, Any] = {"perplexity": rows[0]["perplexity"], "reached": len(reached), "of": len(rows)}
    for axis in curves.AXES:
        known = [row[axis] for row in reached if row[axis] is not None]
        found[axis] = sum(known) / len(known) if known and len(known) == len(reached) else None
    return found
