"""Finds the folder conf/: inside the installed package, or at the top of a clone."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
ROOT = PACKAGE.parent
"""The folder that holds the package: a clone's top, or site-packages."""

CONF = PACKAGE / "conf" if (PACKAGE / "conf").is_dir() else ROOT / "conf"
