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


def content_hash(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits. Raises OSError if the file cannot be read.

    The hash is stored in the user's cache folder. It is taken from there if the file's size, times of change (mtime and
    ctime) and inode are unchanged: `cp -p` and rsync can keep size and mtime of another text.
    """
    stat = path.stat()
    signs = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
    kept = user_cache() / "hashes" / f"{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:24]}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # missing or damaged: hashed again
        stored = json.loads(kept.read_text(encoding="utf-8"))
        if stored["signs"] == signs:
            return str(stored["sha256"])
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if time.time() - max(stat.st_mtime, stat.st_ctime) > SETTLED:
        with contextlib.suppress(OSError, UserError):  # a cache that cannot be written costs time, nothing else
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_json(kept, {"file": str(path.resolve()), "signs": signs, "sha256": found})
    return found
