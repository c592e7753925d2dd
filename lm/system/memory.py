"""Memory of this process: freed blocks kept for the next step, and how many bytes it holds."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from pathlib import Path

from lm.system.errors import UserError

TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4  # glibc's mallopt(3)


def keep_freed_memory() -> None:
    """Let the C library reuse large blocks. Does nothing where that is not glibc.

    Every step allocates the same gradients and activations anew. glibc hands blocks beyond 32 MB back to the system
    when they are freed, and each page of the next one is faulted in and zeroed again: 15 ms for the 41 MB gradient of
    a 1024 x 10,000 output layer, longer than its product with a few rows takes. The process keeps its peak in return.
    """
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, AttributeError):  # musl has no mallopt
        libc = ctypes.CDLL("libc.so.6")
        # Older ones refuse so high a threshold, and setting the other alone would hold this one where it is: 128 KB.
        if libc.mallopt(MMAP_THRESHOLD, 2**31 - 1) or libc.mallopt(MMAP_MAX, 0):
            libc.mallopt(TRIM_THRESHOLD, 2**31 - 1)


def peak() -> int:
    """The most that was resident so far, or since `reset_peak`."""
    # Not getrusage on Linux: its peak is inherited from the process that started this one.
    high = _status("VmHWM")
    if high is not None:
        return high
    try:
        import resource
    except ImportError:
        raise UserError("this system does not tell a process's peak memory; measure on Linux or macOS") from None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def resident() -> int:
    """What is resident now; where the system does not tell, the peak so far."""
    now = _status("VmRSS")
    return peak() if now is None else now


def reset_peak() -> None:
    """Linux forgets the peak so far; elsewhere nothing happens."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def _status(field: str) -> int | None:
    """Bytes of a line of /proc/self/status; None where there is no such file, as on a Mac."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(f"{field}:")), None)
