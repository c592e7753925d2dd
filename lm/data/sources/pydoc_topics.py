"""The language reference inside Python's standard library."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from lm.data.corpus import Corpus
from lm.data.source import SPLITS, Source
from lm.data.streams import EVAL_WINDOW
from lm.data.tokenisers import Tokeniser
from lm.data.vocabulary import WHITESPACE
from lm.data.vocabulary_choice import VocabSize, VocabularyChoice
from lm.system.bounds import Count
from lm.system.errors import UserError
from lm.system.file_hash import content_hash


class PydocTopics(Source):
    """The language reference that Python includes for `help()`: real English without a download.

    A paragraph becomes a line, in lower case, with punctuation as separate words. Topics quote one another, so only the
    first occurrence of a paragraph is kept: no paragraph of the training text appears in the test text. The splits have
    80 / 10 / 10 percent of the paragraphs, in the order of the topics.
    """

    _TOKEN = re.compile(r"\w+|[^\w\s]+")

    def __init__(self) -> None:
        try:
            from pydoc_data import topics
        except ImportError:
            raise UserError(
                "this Python lacks pydoc_data (some minimal builds do); use data=text with a file"
            ) from None
        self._path = Path(topics.__file__ or "pydoc_data/topics.py")
        self._topics: dict[str, str] = topics.topics

    def fingerprint(self) -> dict[str, object]:
        return {"pydoc": content_hash(self._path)}

    def pieces(self, split: str) -> Iterator[str]:
        paragraphs = (part for _, text in sorted(self._topics.items()) for part in text.split("\n\n"))
        lines = [
            line for line in dict.fromkeys(" ".join(self._TOKEN.findall(part.lower())) for part in paragraphs) if line
        ]
        cuts = [0, int(0.8 * len(lines)), int(0.9 * len(lines)), len(lines)]
        number = SPLITS.index(split)
        yield "".join(line + "\n" for line in lines[cuts[number] : cuts[number + 1]])


def pydoc(
    batch_size: Count,
    window: Count,
    vocab_size: VocabSize | None = None,
    min_count: Count | None = None,
    eval_window: Count = EVAL_WINDOW,
    tokeniser: Tokeniser = WHITESPACE,
) -> Corpus:
    """The language reference inside Python's standard library; see `Corpus` and `VocabularyChoice` for the settings.

    `min_count` None: words that occur once are `<unk>`; other tokens are all known.
    """
    least = min_count or (2 if tokeniser.unit == "word" else 1)
    return Corpus(PydocTopics(), batch_size, window, eval_window, VocabularyChoice(tokeniser, vocab_size, least))
