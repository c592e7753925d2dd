"""How much memory this process holds, and has held at most: bytes."""

from __future__ import annotations

import sys
from pathlib import Path

from lm.errors import UserError


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
