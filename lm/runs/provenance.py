"""Where a run's results come from: software versions, machine, data."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import lm
from lm.config.conf_folder import ROOT

PACKAGES = ("torch", "pytorch-lightning", "hydra-core", "numpy")


def provenance(device: torch.device, checksums: dict[str, str], processes: int = 1) -> dict[str, Any]:
    """Versions of the project, its libraries and Python, the clone's commit, the machine, the data's checksums."""
    return {
        "recurrent-lm": lm.__version__,
        "commit": commit(ROOT),
        **{package: _version(package) for package in PACKAGES},
        "python": platform.python_version(),
        "system": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else processor(),
        "processes": processes,
        "threads": torch.get_num_threads(),  # of each process
        "data": checksums,
    }


def commit(folder: Path) -> str | None:
    """The git commit of `folder`, with `-dirty` if tracked files differ from that commit; None outside a clone."""
    if not (folder / ".git").exists():
        return None
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):  # no git, or a folder that it does not trust
        return None
    return said.stdout.strip() or None


def processor() -> str:
    """The processor's model name if the system reports a name, else the processor's architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
