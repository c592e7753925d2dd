"""Ctrl-C and SIGTERM: training stops between two windows, where its state can be saved exactly."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Interrupted(BaseException):
    """Raised where it is safe to stop. Not an Exception: a sweep does not go on to its next job."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.code = 128 + signum


@contextmanager
def terminable() -> Iterator[None]:
    """While inside, SIGTERM raises Interrupted wherever it arrives, as Ctrl-C raises KeyboardInterrupt."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise Interrupted(signum)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class StopRequest:
    """Whether the user or the system asked to stop, and by which signal."""

    def __init__(self) -> None:
        self.signum: int | None = None

    def __bool__(self) -> bool:
        return self.signum is not None

    def note(self, signum: int, frame: FrameType | None) -> None:
        """Signal handler: the first signal is noted, a second one stops the program at once."""
        if self.signum is not None:
            raise Interrupted(signum)
        self.signum = signum
        print("stopping as soon as everything is saved; once more to stop at once", file=sys.stderr)

    def listen(self) -> dict[int, Any]:
        """Take over SIGINT and SIGTERM; the handlers before. Off the main thread nothing can be taken over."""
        try:
            return {signum: signal.signal(signum, self.note) for signum in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:
            return {}

    def obey(self) -> None:
        """Raise Interrupted if a stop was asked for."""
        if self.signum is not None:
            raise Interrupted(self.signum)


@contextmanager
def listening() -> Iterator[StopRequest]:
    """While inside, the first SIGINT or SIGTERM is noted; a second one stops the program at once."""
    request = StopRequest()
    before = request.listen()
    try:
        yield request
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
