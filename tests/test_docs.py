"""The commands of docs/ do what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import needs_ptb

ROOT = Path(__file__).parent.parent


def dry(line: str) -> str:
    """A command of docs/gpu.md as it is walked through."""
    if "-m pytest" in line:
        return f"{line} --dry"
    return f"{line} dry=true" if re.search(r"python (train|scripts/\w+)\.py", line) else line


@pytest.mark.slow
@needs_ptb
def test_the_card_s_half_hour_can_be_walked_through(tmp_path: Path) -> None:
    """In a fresh clone, in their order, on the processor."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "docs/gpu.md").read_text(), re.DOTALL)
    prepare, install, *runs = ["\n".join(map(dry, block.strip().splitlines())) for block in blocks]
    assert len(runs) == 4
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "LM_CACHE_DIR")}
    environment |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "OUT": str(tmp_path / "out")}
    (tmp_path / "out").mkdir()
    install = install.replace("/tmp/", f"{tmp_path}/")
    for script in [prepare, *(f"{install}\n{run}" for run in runs)]:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], cwd=clone, capture_output=True, text=True, env=environment
        )
        assert done.returncode == 0, f"{script}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    back = {path.name for path in (tmp_path / "out").iterdir() if not path.name.startswith("events")}
    names = ("benchmark", "baseline", "awd_lstm", "static", "cache", "dynamic")
    assert back == {f"{name}.json" for name in names}
    asked = ["git", "-C", str(clone), "status", "--porcelain"]
    assert subprocess.run(asked, capture_output=True, text=True, check=True).stdout == ""
