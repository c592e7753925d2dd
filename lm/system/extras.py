"""Imports packages that are extras: not every installation has them."""

from __future__ import annotations

import importlib
from types import ModuleType

from lm.system.errors import UserError


def needed(package: str, asked: str, install: str | None = None) -> ModuleType:
    """Import a package that what was `asked` for needs.

    Raises UserError with the pip line, for `install` or for the missing package itself, if it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        missing = error.name or package
        raise UserError(
            f"{asked} needs the package {missing}, which is not installed: pip install {install or missing}"
        ) from None
