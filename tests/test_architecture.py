"""Who may import whom: the parts that a notebook can use know neither Hydra nor Lightning; nothing imports run."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

LM = Path(__file__).parent.parent / "lm"
FILES = sorted(LM.rglob("*.py"))
FRAMEWORKS = {"hydra", "omegaconf", "pytorch_lightning"}
FREE = [
    "models/",
    "forcing.py",
    "sampling.py",
    "evaluation/",
    "embeddings.py",
    "optim.py",
    "init.py",
    "cooccurrence.py",
    "checkpoint.py",
    "build.py",
    "trust.py",
]
FREE += [f"comparison/{part}.py" for part in ("ngram", "quality", "sentences", "statistics", "texts", "vectors")]
FREE += [
    "plots.py",
    "page.py",
    "benchmark/plain.py",
    "benchmark/sizes.py",
    "benchmark/step.py",
    "benchmark/memory.py",
    "benchmark/processes.py",
    "benchmark/text.py",
    "data/vocab.py",
    "data/streams.py",
    "data/sources.py",
    "data/encoding.py",
    "data/ptb.py",
    "data/synthetic.py",
]
FREE += [
    f"truncation/{part}.py"
    for part in ("error", "memory", "reach", "equality", "graph", "figures", "findings", "plots")
]


def name(path: Path) -> str:
    return str(path.relative_to(LM))


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def reachable(path: Path, seen: set[Path]) -> set[str]:
    """All that a module imports, through this project's own modules too."""
    seen.add(path)
    found = imports(path)
    for module in list(found):
        place = LM.parent / module.replace(".", "/")
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.is_file() and file not in seen:
                found |= reachable(file, seen)
    return found


@pytest.mark.parametrize("path", [f for f in FILES if name(f).startswith(tuple(FREE))], ids=name)
def test_plain_parts_know_neither_hydra_nor_lightning(path: Path) -> None:
    assert not {module.split(".")[0] for module in reachable(path, set())} & FRAMEWORKS


def test_every_plain_part_exists() -> None:
    assert all((LM / part).exists() for part in FREE)


@pytest.mark.parametrize("path", [f for f in FILES if name(f) != "run.py"], ids=name)
def test_nothing_imports_run(path: Path) -> None:
    assert not {"lm.run", "run"} & imports(path)


def test_the_report_knows_files_and_nothing_else_of_the_project() -> None:
    found = imports(LM / "report.py") | imports(LM / "files.py")
    ours = {module for module in found if module.split(".")[0] in {"lm", "torch", *FRAMEWORKS}}
    assert ours <= {"lm.files", "lm.files.whole", "lm.errors", "lm.errors.UserError"}


@pytest.mark.parametrize("path", FILES, ids=name)
def test_files_are_about_one_idea(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 280
    assert path.name != "utils.py"
