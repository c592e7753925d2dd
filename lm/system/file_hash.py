"""The SHA-256 of a file's content, computed again only if the file may have changed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from pathlib import Path

from lm.system.errors import UserError
from lm.system.files import user_cache, write_json

SETTLED = 2.0
"""Seconds without a change after which a hash is stored: within a clock tick, a second change would not be noticed."""


def signs(path: Path) -> list[int]:
    """A file's size, times of change (mtime and ctime) and inode. If these are unchanged, so is its content.

    Size and mtime are not enough: `cp -p` and rsync can give a file those of another one.
    """
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def content_hash(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits. Raises OSError if the file cannot be read.

    The hash is stored in the user's cache folder, and is taken from there if the file's `signs` are unchanged.
    """
    stat, now = path.stat(), signs(path)
    kept = user_cache() / "hashes" / f"{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:24]}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # missing or damaged: hashed again
        stored = json.loads(kept.read_text(encoding="utf-8"))
        if stored["signs"] == now:
            return str(stored["sha256"])
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if time.time() - max(stat.st_mtime, stat.st_ctime) > SETTLED:
        with contextlib.suppress(OSError, UserError):  # a cache that cannot be written costs time, nothing else
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_json(kept, {"file": str(path.resolve()), "signs": now, "sha256": found})
    return found
