"""The architecture: which room may import which, no cycles, no loose files, parts without Hydra and Lightning."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LM = ROOT / "lm"
FILES = sorted(LM.rglob("*.py"))

ROOMS = {
    "system": "",
    "config": "system",
    "cli": "system config",
    "data": "system",
    "models": "system",
    "sampling": "system data models",
    "evaluation": "system data models",
    "runs": "system config data models sampling evaluation",
    "training": "system config data models sampling evaluation runs",
    "studies": "system config data models sampling evaluation runs training",
    "commands": "system config cli data models sampling evaluation runs training studies",
}
"""Which rooms each room may import. The order is one-way: no room imports a room listed after it."""

FRAMEWORKS = {"hydra", "omegaconf", "pytorch_lightning"}
NOTEBOOK = ["models", "sampling", "evaluation", "data", "training/forcing", "training/optim", "runs/checkpoint.py"]
NOTEBOOK += ["runs/kept_vocabulary.py", "runs/known_words.py"]
NOTEBOOK += ["runs/trained.py", "config/build.py", "config/trust.py", "config/conf_folder.py", "config/unknown_key.py"]
NOTEBOOK += ["studies/plots.py", "studies/page.py"]
NOTEBOOK += [
    f"studies/comparison/{part}.py" for part in ("ngram", "quality", "sentences", "statistics", "texts", "vectors")
]
NOTEBOOK += [f"studies/benchmark/{part}.py" for part in ("plain", "sizes", "step", "processes", "text")]
NOTEBOOK += [
    f"studies/truncation/{part}.py"
    for part in (
        "error",
        "memory",
        "reach",
        "equality",
        "graph",
        "layers",
        "arrangement",
        "drawing",
        "figures",
        "findings",
        "plots",
    )
]
WITH_LIGHTNING = {"data/datamodule.py"}


def name(path: Path) -> str:
    return path.relative_to(LM).as_posix()


def imported(path: Path) -> set[str]:
    """Every module that a file imports, also inside functions and under TYPE_CHECKING."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def file_of(module: str) -> Path | None:
    place = ROOT / module.replace(".", "/")
    return next((file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()), None)


def ours(path: Path) -> set[Path]:
    """The files of this project that a file names in its imports."""
    modules = imported(path)
    named = {module for module in modules if file_of(module) and not any(m.startswith(f"{module}.") for m in modules)}
    exported = {module for module in modules if file_of(module)} - named
    # `from lm.sampling import Sampler` names the room's __init__.py, `from lm.runs import resume` a file in it.
    named |= {module for module in exported if any(m.startswith(f"{module}.") and not file_of(m) for m in modules)}
    return {file for module in named if (file := file_of(module))}


def reachable(path: Path, seen: set[Path]) -> set[str]:
    """All that a file imports, also through this project's files and their parent packages."""
    seen.add(path)
    found = imported(path)
    parents = {parent / "__init__.py" for parent in path.parents if LM in (parent, *parent.parents)}
    for file in {*parents, *(file for module in found if (file := file_of(module)))} - seen:
        found |= reachable(file, seen)
    return found


def test_the_rooms_are_these_and_no_file_lies_loose() -> None:
    folders = {path.name for path in LM.iterdir() if path.is_dir() and any(path.rglob("*.py"))}
    assert folders == set(ROOMS)
    assert {path.name for path in LM.iterdir() if path.is_file()} == {"__init__.py", "__main__.py", "py.typed"}


@pytest.mark.parametrize("path", [file for file in FILES if file.parent != LM], ids=name)
def test_a_room_imports_only_those_that_the_table_gives_it(path: Path) -> None:
    room = name(path).split("/")[0]
    rooms = {module.split(".")[1] for module in imported(path) if module.startswith("lm.") and module.count(".")}
    assert rooms & set(ROOMS) <= {room, *ROOMS[room].split()}


def test_the_table_goes_one_way() -> None:
    order = list(ROOMS)
    for room, others in ROOMS.items():
        assert all(order.index(other) < order.index(room) for other in others.split())


def test_no_file_imports_itself_by_way_of_others() -> None:
    try:
        TopologicalSorter({path: ours(path) for path in FILES}).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(name(path) for path in error.args[1]))


@pytest.mark.parametrize("path", [f for f in FILES if name(f).startswith(tuple(NOTEBOOK))], ids=name)
def test_plain_parts_know_neither_hydra_nor_lightning(path: Path) -> None:
    if name(path) not in WITH_LIGHTNING:
        assert not {module.split(".")[0] for module in reachable(path, set())} & FRAMEWORKS


def test_every_plain_part_exists() -> None:
    assert all((LM / part).exists() for part in [*NOTEBOOK, *WITH_LIGHTNING])


@pytest.mark.parametrize("path", FILES, ids=name)
def test_files_are_about_one_idea(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 250
    assert path.name not in ("utils.py", "helpers.py", "common.py", "misc.py")


@pytest.mark.parametrize(
    ("statement", "light"),
    [
        ("import lm; lm.__version__", {"torch", "hydra", "pytorch_lightning"}),
        ("import lm.__main__", {"torch", "pytorch_lightning"}),
        ("import lm; lm.load", {"hydra", "pytorch_lightning"}),
        ("import lm.evaluation, lm.sampling, lm.models, lm.data.sources", {"hydra", "pytorch_lightning"}),
    ],
)
def test_what_an_import_brings_along(statement: str, light: set[str]) -> None:
    asked = f"import sys; {statement}; print(*sorted({light!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split() == []
