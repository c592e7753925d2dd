"""WikiText-2 and WikiText-103: Wikipedia's good and featured articles, with `<unk>` in the text (Merity et al. 2016).

The text is read as salesforce/awd-lstm-lm reads it (data.py): words at white space, an `<eos>` at the end of each line,
empty lines included. With that the paper's counts (Table 1) include `<eos>`, in the tokens and in the vocabulary.

Taken from public code, not computed here: the archives' MD5 and the names of their members (pytorch/text,
torchtext/datasets/wikitext2.py and wikitext103.py), the form of the Parquet rows (huggingface/datasets,
datasets/wikitext/wikitext.py: a line with its end, and an empty text for an empty line). The address is a mirror of the
corpus's first author; the original address has been refused since 2024 (pytorch/text issue 2255).
"""

from __future__ import annotations

from collections.abc import Iterator

from lm.data.source import SPLITS, end_last_line
from lm.data.sources.parquet_text import rows
from lm.data.sources.published import Archive, PublishedFiles
from lm.data.sources.published_counts import Counts, PublishedCorpus
from lm.data.streams import EVAL_WINDOW
from lm.data.text_file import TextFile
from lm.data.tokenisers import Tokeniser
from lm.data.vocabulary import WHITESPACE
from lm.data.vocabulary_choice import VocabularyChoice
from lm.system.bounds import Count

MIRROR = "https://wikitext.smerity.com/"
MD5 = {2: "542ccefacc6c27f945fb54453812b3cd", 103: "9ddaacaf6af0710eda8c456decff7832"}
COUNTS = {
    2: Counts({"train": 2_088_628, "valid": 217_646, "test": 245_569}, 33_278),
    103: Counts({"train": 103_227_021, "valid": 217_646, "test": 245_569}, 267_735),
}
RAREST = 3
"""A word that occurs less often in the raw training text becomes `<unk>`: the paper's rule, not tried on the files."""


class WikiText(PublishedFiles):
    """WikiText of one of its two sizes, 2 or 103 (million tokens).

    The published texts are read if they are there, else the raw ones, in which rare words are not yet `<unk>`.
    """

    def __init__(self, size: int) -> None:
        words = f"wikitext-{size}"
        layouts = ["wiki.{split}.tokens", words + "/wiki.{split}.tokens", "{split}.txt"]  # getdata.sh of awd-lstm-lm
        layouts += [words + "-v1/{split}-*.parquet", "{split}-*.parquet"]
        layouts += ["wiki.{split}.raw", words + "-raw/wiki.{split}.raw", words + "-raw-v1/{split}-*.parquet"]
        name = f"{words}-v1.zip"
        members = {f"{words}/wiki.{split}.tokens": f"wiki.{split}.tokens" for split in SPLITS}
        archive = Archive(name, [MIRROR + name], f"md5:{MD5[size]}", members)
        super().__init__(f"wikitext{size}", f"WikiText-{size}", layouts, archive)

    @property
    def raw(self) -> bool:
        """Whether the training text that is there is the raw one."""
        layout = self.layout("train")
        return layout is not None and "raw" in layout.pattern

    def size(self, split: str) -> int | None:
        layout, paths = self.located(split)
        return None if layout.parquet else sum(path.stat().st_size for path in paths)

    def pieces(self, split: str) -> Iterator[str]:
        layout, paths = self.located(split)
        for path in paths:
            if layout.parquet:
                for lines in rows(path):
                    yield "".join(line.removesuffix("\n") + "\n" for line in lines)
            else:
                yield from end_last_line(TextFile(path, f"data={self.name}").pieces())


def _corpus(
    size: int, batch_size: int, window: int, min_count: int, eval_window: int, tokeniser: Tokeniser
) -> PublishedCorpus:
    source = WikiText(size)
    least = RAREST if source.raw and tokeniser.unit == "word" else 1
    choice = VocabularyChoice(tokeniser, min_count=max(min_count, least))
    counts, all_words = COUNTS[size], min_count <= least
    return PublishedCorpus(counts, all_words, WHITESPACE, source, batch_size, window, eval_window, choice)


def wikitext2(
    batch_size: Count,
    window: Count,
    min_count: Count = 1,
    eval_window: Count = EVAL_WINDOW,
    tokeniser: Tokeniser = WHITESPACE,
) -> PublishedCorpus:
    """WikiText-2: 2,088,628 / 217,646 / 245,569 tokens, 33,278 words. `min_count` > 1 gives a smaller vocabulary, whose
    perplexities cannot be compared with published ones."""
    return _corpus(2, batch_size, window, min_count, eval_window, tokeniser)


def wikitext103(
    batch_size: Count,
    window: Count,
    min_count: Count = 1,
    eval_window: Count = EVAL_WINDOW,
    tokeniser: Tokeniser = WHITESPACE,
) -> PublishedCorpus:
    """WikiText-103: 103,227,021 / 217,646 / 245,569 tokens, 267,735 words. `min_count` is as in `wikitext2`."""
    return _corpus(103, batch_size, window, min_count, eval_window, tokeniser)
