"""The notebook of the classic exercise: well-formed, with outputs, and its answers hold when it runs."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import matplotlib
import pytest

DOCS = Path(__file__).parent.parent / "docs"
NOTEBOOK = DOCS / "exercise.ipynb"
PAGE = (DOCS / "exercise.md").read_text(encoding="utf-8")
CELLS: list[dict[str, Any]] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
CODE = [cell for cell in CELLS if cell["cell_type"] == "code"]
OUTPUTS = [output for cell in CODE for output in cell["outputs"]]


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def questions(text: str) -> list[str]:
    return re.findall(r"^## (Question \d: .*)$", text, re.MULTILINE)


def test_the_page_asks_what_the_notebook_answers() -> None:
    prose = "\n".join(source(cell) for cell in CELLS if cell["cell_type"] == "markdown")
    assert questions(prose) == questions(PAGE)
    assert len(questions(PAGE)) == 5
    for answer in re.split(r"^## Question", prose, flags=re.MULTILINE)[1:]:
        assert "**Answer.**" in answer
        assert "**What does not follow.**" in answer
    assert "**Answer.**" not in PAGE


def test_the_notebook_was_run_from_top_to_bottom_and_is_small() -> None:
    assert [cell["execution_count"] for cell in CODE] == list(range(1, len(CODE) + 1))
    for cell in CODE:
        compile(source(cell), "exercise.ipynb", "exec")
    assert {output["output_type"] for output in OUTPUTS} <= {"stream", "display_data", "execute_result"}
    assert {output["name"] for output in OUTPUTS if output["output_type"] == "stream"} == {"stdout"}
    said = "".join(CODE[0]["outputs"][0]["text"])
    assert {"torch", "python", "device"} <= set(said.split())
    pictures = [base64.b64decode(output["data"]["image/png"]) for output in OUTPUTS if "data" in output]
    assert len(pictures) >= 5
    assert max(map(len, pictures)) < 100_000
    assert NOTEBOOK.stat().st_size < 400_000


def test_no_output_names_a_place_of_the_machine_that_ran_it() -> None:
    lines = [line for output in OUTPUTS for line in output.get("text", output.get("data", {}).get("text/plain", []))]
    assert lines
    assert not [line for line in lines if re.search(r"(?<![\w.])(/\w+){2}|[A-Z]:\\| at 0x", line)]


@pytest.mark.slow
def test_the_answers_hold_when_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path / "docs")
    monkeypatch.setenv("MPLBACKEND", "agg")
    found: dict[str, Any] = {}
    with matplotlib.rc_context():
        for number, cell in enumerate(CODE, 1):
            exec(compile(source(cell), f"exercise.ipynb, cell {number}", "exec"), found)
    assert (tmp_path / "runs/exercise/quick/result.json").is_file()
    assert found["training"][-1][1] < found["valid"]["perplexity"] < 100  # learned by heart in part
    # 1: memory grows with the windows of an update, not with the stream; training makes gradients reach further back.
    assert found["slope"] > 10 * (found["stream"].max() - found["stream"].min()) / max(found["LENGTHS"])
    assert found["far"]["untrained"].share_cut(30) < found["far"]["trained"].share_cut(30)
    # 2: greedy texts loop; random ones do not, and are more varied and less probable than real text.
    judged = found["judged"]
    assert judged["greedy"].loops > 30
    assert judged["random"].loops == judged["real text"].loops == 0
    assert judged["random"].distinct_2 > judged["real text"].distinct_2
    assert found["against"].low > 0
    assert judged["greedy"].ngram_nats < judged["real text"].ngram_nats
    # 3: every Euclidean distance grows, by cosine the frequent pair comes together.
    spreads = found["chance"]
    assert spreads["after"]["euclidean"].mean() > spreads["before"]["euclidean"].max()
    class_, function = (found["vectors"]["after"][found["number"][word]] for word in ("class", "function"))
    cosine = spreads["after"]["cosine"]
    assert found["distance"](class_, function).cosine < cosine.mean() - 2 * cosine.std()
    # 4: true words predict better at equal updates, and more updates help only them; fed its own words, the reverse.
    effects = found["effects"]
    assert min(effects[0, 1].low, effects[2, 3].low) > 0
    assert effects[0, 2].high < -effects[0, 1].high
    assert effects[1, 3].high > 0
    own = [seeds.mean() for seeds in found["feeding"]]
    assert own[0] > own[1]
    assert own[2] > own[3]
    # The page's first lines use the finished run.
    (start,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    page: dict[str, Any] = {}
    exec(compile(start, "exercise.md", "exec"), page)
    assert page["run"].result["test"] == found["quick"].result["test"]
    assert page["curve"] == found["validation"]
