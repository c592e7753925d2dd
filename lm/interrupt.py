"""Ctrl-C and SIGTERM: training stops between two windows, where its state can be saved exactly."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(BaseException):
    """Raised where it is safe to stop. Not an Exception: a sweep does not go on to its next job."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.code = 128 + signum


class StopRequest:
    """Whether the user or the system asked to stop, and by which signal."""

    def __init__(self) -> None:
        self.signum: int | None = None

    def __bool__(self) -> bool:
        return self.signum is not None

    def obey(self) -> None:
        """Raise Interrupted if a stop was asked for."""
        if self.signum is not None:
            raise Interrupted(self.signum)


@contextmanager
def listen() -> Iterator[StopRequest]:
    """While inside, the first SIGINT or SIGTERM is noted; a second one stops the program at once."""
    request = StopRequest()

    def note(signum: int, frame: FrameType | None) -> None:
        if request:
            raise Interrupted(signum)
        request.signum = signum
        print("stopping after this window; once more to stop at once", file=sys.stderr)

    before = {}
    for signum in (signal.SIGINT, signal.SIGTERM):
        try:
            before[signum] = signal.signal(signum, note)
        except ValueError:  # not the main thread, as in a notebook's worker: then nothing is caught here
            break
    try:
        yield request
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
