"""The program of a helper process of `lm.data.numbering_on_all_cores`."""

from __future__ import annotations

import pickle
import signal
import sys

from lm.data.numbering import Answer, Numbering
from lm.system.errors import UserError


def serve() -> None:
    """What a helper does: read texts from standard input, write answers to standard output, until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all processes; the one that leads ends this one
    read, write = sys.stdin.buffer, sys.stdout.buffer
    sys.path[:] = pickle.load(read)
    numbering = Numbering(pickle.load(read))
    while True:
        try:
            text = pickle.load(read)
        except EOFError:
            return
        answer: Answer | UserError
        try:
            numbering.words.new.clear()
            answer = Answer(numbering.part(text), numbering.words.new)
        except UserError as error:
            answer = error
        pickle.dump(answer, write, protocol=5)
        write.flush()


if __name__ == "__main__":
    serve()
