"""Writes files atomically, and checks and locks the folders that hold them."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lm.system.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Lock a folder for this process, and create the folder if it is missing.

    Raises UserError if another process holds the lock. The operating system releases the lock when the process ends,
    also after a crash.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"another run is using {folder}: wait for it, or choose another folder with hydra.run.dir=DIR"
            ) from None
        except OSError:
            pass  # this file system has no locks
        yield
    finally:
        os.close(handle)


@contextmanager
def whole(path: Path, hint: str) -> Iterator[Path]:
    """Yields a temporary path. At the end its file is renamed to `path`; if anything fails, it is deleted.

    Links are followed. A path that is not a regular file, such as /dev/null, is written directly. A disk error becomes
    a UserError that ends with `hint`, which says what to do.
    """
    if path.exists() and not path.is_file():
        yield path
        return
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.writing")
    try:
        yield aside
        os.replace(aside, path)
    except (OSError, RuntimeError) as error:  # torch's writer raises RuntimeError for a full disk
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UserError(f"cannot write {path}: {reason}; {hint}") from None
    finally:
        aside.unlink(missing_ok=True)


def report_folder(name: str | Path) -> Path:
    """The folder for a report, from the setting `out`; created if missing. Raises UserError if it is not writable."""
    folder = Path(name).expanduser()
    if folder.is_file():
        raise UserError(f"out: {folder} is a file; name a folder for the report")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise UserError(f"out: cannot write into {folder}: {error.strerror}; choose another folder") from None
    return folder.resolve()


def writable(file: str | Path, name: str) -> Path:
    """Check that a file can be written, and return its path; no file changes. If not, raises UserError.

    `name` is the setting that gave the file; the error message starts with it.
    """
    path = Path(file).expanduser()
    if path.is_dir():
        raise UserError(f"{name}: {path} is a folder; name a file")
    nearest = next(place for place in (path, *path.absolute().parents) if place.exists())
    if nearest != path and not nearest.is_dir():
        raise UserError(f"{name}: cannot write {path}: {os.strerror(errno.ENOTDIR)}; choose another file")
    if not os.access(nearest, os.W_OK):
        raise UserError(f"{name}: cannot write {path}: {os.strerror(errno.EACCES)}; choose another file")
    return path


ANOTHER_FOLDER = "free some space or choose another folder"


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file atomically. Numbers that are not finite become null."""
    write_text(path, json.dumps(_finite(content), indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, in UTF-8."""
    with whole(path, ANOTHER_FOLDER) as aside:
        aside.write_text(text, encoding="utf-8")


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value


def absolute(place: Any) -> Any:
    """A file's or folder's absolute path as text, or a list of them; `~` is the home folder."""
    return (
        str(Path(str(place)).expanduser().resolve()) if isinstance(place, (str, Path)) else list(map(absolute, place))
    )


def moved_to(folder: str | Path | None) -> Path | None:
    """The folder of the setting `data_from`; None if it is not set. Raises UserError if it is not a folder."""
    if folder is None:
        return None
    path = Path(folder).expanduser().resolve()
    if not path.is_dir():
        raise UserError(f"data_from: {path} is not a folder; name the folder that holds the run's text files")
    return path


def user_cache() -> Path:
    """The user's folder for downloads and encoded text: `$LM_CACHE_DIR`, else the system's cache folder."""
    if override := os.environ.get("LM_CACHE_DIR"):
        return Path(override)
    from pooch import os_cache  # takes 50 ms; needed only without LM_CACHE_DIR

    return Path(os_cache("recurrent-lm"))
