"""Files that are whole whenever somebody reads them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lm.errors import UserError


@contextmanager
def whole(path: Path, hint: str) -> Iterator[Path]:
    """The path beside `path` to write to: renamed to `path` at the end, and gone if anything fails on the way.

    An error of the disk becomes a UserError that ends in `hint`: what to do about it.
    """
    aside = path.with_name(f".{path.name}.writing")
    try:
        yield aside
        os.replace(aside, path)
    except (OSError, RuntimeError) as error:  # torch's own writer tells of a full disk by a RuntimeError
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UserError(f"cannot write {path}: {reason}; {hint}") from None
    finally:
        aside.unlink(missing_ok=True)
