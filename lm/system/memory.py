"""The memory of this process: lets training steps reuse freed blocks, and measures how many bytes are resident."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from pathlib import Path

from lm.system.errors import UserError

TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4  # glibc's mallopt(3)


def keep_freed_memory() -> None:
    """Let the C library reuse large blocks of memory. Does nothing if the C library is not glibc.

    Every step allocates the same gradients and activations again. glibc returns freed blocks above 32 MB to the system,
    and every page of the next block must be mapped and zeroed again. For the 41 MB gradient of a 1024 x 10,000 output
    layer this takes 15 ms, longer than the layer's matrix product with a few rows. The disadvantage of reuse: the
    process never gives its peak memory back.
    """
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, AttributeError):  # musl has no mallopt
        libc = ctypes.CDLL("libc.so.6")
        # Older versions refuse so high an mmap threshold. Setting only the trim threshold would then fix it at 128 KB.
        if libc.mallopt(MMAP_THRESHOLD, 2**31 - 1) or libc.mallopt(MMAP_MAX, 0):
            libc.mallopt(TRIM_THRESHOLD, 2**31 - 1)


def peak() -> int:
    """The peak of this process's resident memory in bytes, since its start or the last call of `reset_peak`."""
    # On Linux not getrusage: its peak is inherited from the parent process.
    high = _status("VmHWM")
    if high is not None:
        return high
    try:
        import resource
    except ImportError:
        raise UserError("this system does not report a process's peak memory; measure on Linux or macOS") from None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def resident() -> int:
    """This process's resident memory now, in bytes; its peak so far if the system does not report the present value."""
    now = _status("VmRSS")
    return peak() if now is None else now


def resident_of_all(pid: int) -> int:
    """The resident memory of a process and all its descendants now, in bytes; 0 on systems other than Linux.

    Memory that they share counts more than once.
    """
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            parent = int(status.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(status.parent.name))
    found, left = 0, [pid]
    while left:
        one = left.pop()
        found += _status("VmRSS", one) or 0
        left += children.get(one, [])
    return found


def reset_peak() -> None:
    """Restart the measurement of peak memory, on Linux. Does nothing on systems other than Linux."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def _status(field: str, pid: int | str = "self") -> int | None:
    """The value of `field` in a process's /proc/.../status, in bytes; None if that does not exist, as on a Mac."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(f"{field}:")), None)
