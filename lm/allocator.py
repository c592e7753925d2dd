"""Keeping freed memory for the next step instead of giving it back to the system."""

from __future__ import annotations

import contextlib
import ctypes
import sys

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
