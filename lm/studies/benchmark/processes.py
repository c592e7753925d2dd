"""Runs each implementation in its own process, so that none changes the memory, threads or allocator of another."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

from lm.system import memory


class Apart:
    """A callable made by `make(*arguments)` in a fresh process. A call runs it in that process and returns its result.

    Raises RuntimeError if the process has ended.
    """

    def __init__(self, make: Callable[..., Callable[[], float]], *arguments: Any) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._here, there = spawn.Pipe()
        self._process = spawn.Process(target=_serve, args=(there, make, arguments), daemon=True)
        self._process.start()
        there.close()

    def __call__(self) -> float:
        return float(self._ask("work"))

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    def peak_memory(self) -> int:
        """The peak memory of the process so far, in bytes."""
        return int(self._ask("memory"))

    def _ask(self, what: str) -> Any:
        try:
            self._here.send(what)
            return self._here.recv()
        except (EOFError, OSError):
            self._process.join()
            raise RuntimeError(f"a rival's process ended early, with exit code {self._process.exitcode}") from None

    def __enter__(self) -> Apart:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._here.close()  # the process then reads EOF and ends itself
        self._process.join(timeout=20 if error is None else 0)
        self._process.terminate()
        self._process.join()


def _serve(there: Connection, make: Callable[..., Callable[[], float]], arguments: tuple[Any, ...]) -> None:
    rival = make(*arguments)
    while True:
        try:
            there.send(rival() if there.recv() == "work" else memory.peak())
        except (EOFError, KeyboardInterrupt):
            return
