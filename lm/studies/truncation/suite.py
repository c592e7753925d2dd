"""The study of detaching the state: measures everything, prints tables and sentences, writes the report."""

from __future__ import annotations

import itertools
from dataclasses import replace
from statistics import median
from typing import Any

import torch

from lm.config.build import build
from lm.data.streams import Windows
from lm.models.interfaces import LanguageModel
from lm.runs.trained import load
from lm.studies.benchmark.sizes import Sizes
from lm.studies.page import write
from lm.studies.truncation import graph
from lm.studies.truncation.drawing import picture
from lm.studies.truncation.equality import compare_gradients
from lm.studies.truncation.error import attempts
from lm.studies.truncation.figures import Figures, ModelFigures, Point, Recorded, Stream
from lm.studies.truncation.findings import not_shown, sentences
from lm.studies.truncation.memory import peak_bytes, seconds_per_update
from lm.studies.truncation.reach import reach
from lm.studies.truncation.report import TITLE, blocks, text
from lm.system.devices import device
from lm.system.errors import UserError
from lm.system.files import report_folder, write_json
from lm.system.terminal import say

STREAMS = 4  # maximum number of streams in which gradients are followed back
WINDOWS = 3  # whose gradients are computed in two ways


def study(settings: dict[str, Any]) -> None:
    """Measure, print the results, and write report.html, .md and .json into `out`; settings as in conf/tbptt.yaml."""
    check(settings)
    sizes: Sizes = build(settings["sizes"], "sizes")
    on = _device(settings["accelerator"]["accelerator"])
    models, windows = _models(settings, sizes)  # an unusable checkpoint is reported before the long part
    out = report_folder(settings["out"])

    followed = {}
    for name, model in models.items():
        say(f"gradients of the {name} model over {settings['reach']} steps")
        norms = reach(model, windows.streams, settings["reach"], settings["places"])
        followed[name] = ModelFigures(norms, compare_gradients(model, [windows[k] for k in range(WINDOWS)]))
    points, streams = measure(settings, sizes, on)
    graphs = {name: graph.record(detached=name == "with") for name in ("without", "with")}
    found = Figures(
        attempts=attempts(),
        by_windows=[points[k, sizes.window] for k in settings["windows"]],
        by_length=[points[1, length] for length in settings["lengths"]],
        streams=streams,
        models=followed,
        graphs={f"{name} detach": _recorded(made) for name, made in graphs.items()},
        window=windows.window,
        sizes=sizes,
        device=torch.cuda.get_device_name() if on == "cuda" else "cpu",
        torch=torch.__version__,
        threads=torch.get_num_threads(),
    )
    print(text(found))
    write(out, TITLE, blocks(found, {name: picture(made) for name, made in graphs.items()}))
    said = {"sentences": sentences(found), "not_shown": not_shown(found)}
    write_json(out / "report.json", {**found.as_dict(), **said, "settings": settings})
    print(f"\nreport: {out / 'report.html'}")


def check(settings: dict[str, Any]) -> None:
    """Raise UserError if the settings leave nothing to compare; the schema of conf/ checks their bounds."""
    for name in ("windows", "lengths", "streams"):
        values = settings[name] = sorted(set(settings[name]))
        if name != "lengths" and len(values) < 2:
            raise UserError(f"{name} needs two or more different numbers to compare; got {values}: {name}=[1,10]")


def measure(settings: dict[str, Any], sizes: Sizes, on: str) -> tuple[dict[tuple[int, int], Point], list[Stream]]:
    """Measure memory and time for each (windows, length), and memory for streams, each in a separate process."""
    wanted = dict.fromkeys([*((k, sizes.window) for k in settings["windows"]), *((1, n) for n in settings["lengths"])])
    rounds, updates, streams = settings["rounds"], settings["updates"], settings["streams"]
    total = len(wanted) * (1 + rounds) + len(streams)
    numbers = itertools.count(1)

    def announce(what: str) -> None:
        say(f"[{next(numbers)}/{total}] {what}")

    peaks, read = {}, []
    for k, length in wanted:
        announce(f"memory, {_ways(k, length)}")
        # Two updates: like all later ones, the second reuses memory that the first one freed.
        peaks[k, length] = peak_bytes(replace(sizes, window=length), k, 2, on)
    taken: dict[tuple[int, int], list[float]] = {at: [] for at in wanted}
    for _ in range(rounds):  # in turn, so that noise of the machine affects all alike
        for k, length in wanted:
            announce(f"time, {_ways(k, length)}")
            taken[k, length].append(seconds_per_update(replace(sizes, window=length), k, updates + 1, on))
    for count in streams:
        announce(f"memory, a stream of {count:,} windows")
        read.append(Stream(count, peak_bytes(sizes, 1, count, on)))
    points = {at: Point(*at, peaks[at], median(taken[at]), min(taken[at]), max(taken[at])) for at in wanted}
    return points, read


def _ways(k: int, length: int) -> str:
    return f"{k} window{'s' if k > 1 else ''} of {length}"


def _models(settings: dict[str, Any], sizes: Sizes) -> tuple[dict[str, LanguageModel], Windows]:
    """The models whose gradients are measured, and their text; both come from the checkpoint if one is given."""
    trained = (
        None
        if settings["checkpoint"] is None
        else load(settings["checkpoint"], settings["trust"], settings["data_from"])
    )
    window = sizes.window if trained is None else int(trained.config["data"].get("window", sizes.window))
    needed = max(settings["places"] * (settings["reach"] + 1), WINDOWS * window) + 1  # tokens a stream
    if trained is None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings["seed"])
            model = sizes.model()
        small = replace(sizes, batch_size=STREAMS)
        return {"untrained": model}, small.windows(-(-needed // window))
    ids = trained.split_ids("valid")
    streams = max(1, min(STREAMS, len(ids) // needed))
    windows = Windows(ids, streams, window, "valid")
    if len(windows) < WINDOWS:
        raise UserError(
            f"{settings['checkpoint']}: its validation text gives {len(windows)} of the {WINDOWS} windows of {window} "
            "tokens whose gradients are compared; choose a run with more text or a smaller data.window"
        )
    return {"untrained": trained.untrained(), "trained": trained.model}, windows


def _recorded(made: graph.Graph) -> Recorded:
    reached = sorted(made.reached_windows(made.find("loss", graph.WINDOWS)))
    return Recorded(len(made.nodes), len(made.edges), len(made.crossing), reached)


def _device(name: str) -> str:
    found = device(name).type
    if found == "mps":
        if name != "auto":
            raise UserError("accelerator=mps: Apple's GPU does not report peak memory; choose accelerator=cpu")
        say("Apple's GPU does not report peak memory: measuring on the CPU")
        return "cpu"
    return found
