"""Ctrl-C, SIGTERM and preemption: training stops between two windows, where its exact state can be saved."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

STOPPING = (signal.SIGINT, signal.SIGTERM)
PREEMPTING = tuple(getattr(signal, name) for name in ("SIGUSR1", "SIGUSR2") if hasattr(signal, name))
"""Signals by which submitit announces the end of a job. Its handler starts the job again, later or elsewhere."""

FIRST = 1000
"""More than any signal's number: added to that of a preemption, which counts most."""

Handler = Callable[[int, FrameType | None], Any]


class Interrupted(BaseException):
    """Raised to stop the program after Ctrl-C, SIGTERM or a preemption.

    It is not a subclass of Exception, so that a sweep stops too instead of starting its next job.
    """

    def __init__(self, signum: int, earlier: Handler | None = None) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.signum, self.code = signum, 128 + signum
        self.earlier = earlier

    def hand_on(self) -> None:
        """Call the handler that a launcher had installed for the signal, if any: it may start the job again."""
        if self.earlier is not None:
            self.earlier(self.signum, None)


def _take_over(handler: Callable[[int, FrameType | None], None], *signums: int) -> dict[int, Any]:
    """Install a handler for signals, and return the previous handlers. Does nothing outside the main thread."""
    try:
        return {signum: signal.signal(signum, handler) for signum in signums}
    except ValueError:
        return {}


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], None], *signums: int) -> Iterator[None]:
    before = _take_over(handler, *signums)
    try:
        yield
    finally:
        for signum, earlier in before.items():
            signal.signal(signum, earlier)


_raised: list[int] = []
"""Signals for which `terminable` raised Interrupted. They are kept because Python can ignore that exception: it does if
the exception is raised during the clean-up of an import or an object."""


@contextmanager
def terminable(before: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Inside this context, SIGTERM raises Interrupted, as Ctrl-C raises KeyboardInterrupt; first `before` is called."""
    _raised.clear()

    def stop(signum: int, frame: FrameType | None) -> None:
        before()
        if signum == signal.SIGINT:
            raise KeyboardInterrupt
        _raised.append(signum)
        raise Interrupted(signum)

    def keep_quiet(unraisable: Any) -> None:
        if not isinstance(unraisable.exc_value, Interrupted):  # `listening` raises Interrupted again
            hook(unraisable)

    hook, sys.unraisablehook = sys.unraisablehook, keep_quiet
    try:
        with _handled(stop, *STOPPING):
            yield
    finally:
        sys.unraisablehook = hook


class StopRequest:
    """Records whether the user or the system asked the program to stop, and with which signal.

    Where several processes train one run, they stop by what they have agreed on after a window (`agree`): a signal may
    reach only one of them, or each at another time.
    """

    def __init__(self) -> None:
        self.noted: int | None = None  # the signal that this process got
        self.agreed: int | None = None
        self.by_agreement = False
        handlers = {signum: signal.getsignal(signum) for signum in PREEMPTING}
        self.preempting = {signum: handler for signum, handler in handlers.items() if callable(handler)}

    @property
    def signum(self) -> int | None:
        return self.agreed if self.by_agreement else self.noted

    def __bool__(self) -> bool:
        return self.signum is not None

    def note(self, signum: int, frame: FrameType | None) -> None:
        """The signal handler: it records the first signal, and stops the program at once when that one is repeated.

        A preemption counts more than the other signals that come with it, and repeats nothing.
        """
        if signum == self.noted and signum not in self.preempting:
            raise Interrupted(signum)
        if self.noted is None:
            print("\nstopping as soon as everything is saved; repeat to stop at once", file=sys.stderr)
        if self.noted is None or signum in self.preempting:
            self.noted = signum

    def agree(self, largest: Callable[[list[int]], list[int]]) -> None:
        """Agree with the other processes, by a function that gives the largest of their numbers."""
        self.by_agreement = True
        own = self.noted or 0
        (found,) = largest([own + FIRST * (own in self.preempting)])
        self.agreed = found % FIRST or None

    def stop_alone(self) -> None:
        """From now on this process stops by its own signals."""
        self.by_agreement = False

    @property
    def signals(self) -> tuple[int, ...]:
        return (*STOPPING, *self.preempting)

    def listen(self) -> None:
        """Handle all signals that stop a run with `note`. Call this again after a library has installed handlers."""
        _take_over(self.note, *self.signals)

    def obey(self) -> None:
        """Raise Interrupted if a stop was requested."""
        if self.signum is not None:
            raise Interrupted(self.signum, self.preempting.get(self.signum))


@contextmanager
def listening() -> Iterator[StopRequest]:
    """Inside this context, the first signal to stop is recorded, and a second one stops the program at once.

    Raises Interrupted if Python ignored an earlier Interrupted exception.
    """
    request = StopRequest()
    with _handled(request.note, *request.signals):
        if _raised:
            raise Interrupted(_raised[0])
        yield request
