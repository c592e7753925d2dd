"""Numbers the words of a long text on all cores, as `Numbering` does on one.

Memory is bounded by the different words, of which each process keeps those that it has met, and a few pieces of text.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lm.data.numbering import Answer, Numbering, Part
from lm.data.tokenisers import Tokeniser
from lm.system.errors import UserError
from lm.system.terminal import say

ALONE = 32
"""Pieces of text that are numbered without helpers, which need a moment to start."""
MOST_HELPERS = 8
PROGRAM = "lm.data.numbering_process"


def numbered(texts: Iterator[str], numbering: Numbering) -> Iterator[Part]:
    """Number the words of each text, in order. A long row of texts is shared with helper processes."""
    helpers: list[Helper] = []
    turn = 0
    try:
        for k, text in enumerate(texts):
            if k == ALONE:
                helpers = started(numbering.tokeniser)
            if not helpers:
                yield numbering.part(text)
                continue
            helper = helpers[turn % len(helpers)]
            answer = helper.answer() if helper.busy else None
            helper.ask(text)  # it goes to work while its last answer is dealt with here
            turn += 1
            if answer is not None:
                yield helper.renumbered(answer, numbering)
        for helper in (helpers[(turn + i) % len(helpers)] for i in range(len(helpers))):
            if helper.busy:
                yield helper.renumbered(helper.answer(), numbering)
    finally:
        for helper in helpers:
            helper.end()


class Helper:
    """A process that numbers the words of texts by itself. It ends with this process.

    It is a plain child, not one of `multiprocessing`, which would run the user's main program again.
    """

    def __init__(self, tokeniser: Tokeniser) -> None:
        place = str(Path(__file__).parents[2])
        paths = os.pathsep.join(filter(None, [place, os.environ.get("PYTHONPATH")]))
        self.process = subprocess.Popen(
            [sys.executable, "-m", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": paths, "TOKENIZERS_PARALLELISM": "false"},
        )
        self.busy = False
        self._numbers = np.zeros(0, np.uint32)  # the number here of each word there
        self._send(sys.path)
        self._send(tokeniser)

    def ask(self, text: str) -> None:
        self._send(text)
        self.busy = True

    def answer(self) -> Answer:
        """The answer to what was asked. Raises UserError if the tokeniser did, or if the process has died."""
        self.busy = False
        try:
            found: Answer | UserError = pickle.load(self.process.stdout)  # type: ignore[arg-type]
        except (EOFError, OSError, pickle.UnpicklingError):
            raise _died() from None
        if isinstance(found, UserError):
            raise found
        return found

    def renumbered(self, answer: Answer, here: Numbering) -> Part:
        """The part of an answer, in the numbers of this process."""
        new = np.fromiter(map(here.words.__getitem__, answer.new), dtype=np.uint32, count=len(answer.new))
        self._numbers = np.concatenate([self._numbers, new])
        return answer.part._replace(ids=self._numbers[answer.part.ids])

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()

    def _send(self, thing: Any) -> None:
        try:
            pickle.dump(thing, self.process.stdin, protocol=5)  # type: ignore[arg-type]
            self.process.stdin.flush()  # type: ignore[union-attr]
        except OSError:
            raise _died() from None


def started(tokeniser: Tokeniser) -> list[Helper]:
    """A helper for each core; none if there is only one core."""
    if cores() == 1 or not sys.executable or type(tokeniser).__module__ == "__main__":  # of a notebook
        return []
    try:
        pickle.dumps(tokeniser)
        return [Helper(tokeniser) for _ in range(min(cores(), MOST_HELPERS))]
    except (OSError, pickle.PicklingError, AttributeError) as error:
        say(f"encoding on one core only: {error}")
        return []


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _died() -> UserError:
    return UserError("a process that encodes the text was killed, perhaps for lack of memory; start again")
