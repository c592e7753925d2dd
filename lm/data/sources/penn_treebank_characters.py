"""The Penn Treebank as characters: Mikolov's `ptb.char.*` files.

They hold the text of his word-level files: spaces are written `_`, and spaces separate the characters (README of his
simple-examples; a copy of a file was looked at). `<unk>` is five characters. Without them the word-level files, whose
checksums are known, give the same text. `_` is read as a space: it stands for nothing else, so this changes no figure,
and prompts are typed as usual.

A line end is the token `<eos>`, as in salesforce/awd-lstm-lm (data.py; its getdata.sh fetches the files). So counted,
the word-level files with the known checksums have the counts below (computed here), and 50 symbols: 49 characters and
`<eos>`. The counts in circulation, 5,017,483 / 393,043 / 442,424, are one larger in each split; no source says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lm.data.sources.penn_treebank import PennTreebank, fetch
from lm.data.sources.published import Layout, PublishedFiles, ways_out
from lm.data.sources.published_counts import Counts, PublishedCorpus
from lm.data.streams import EVAL_WINDOW
from lm.data.text_file import TextFile
from lm.data.tokenisers import Characters, Tokeniser
from lm.data.vocabulary_choice import VocabularyChoice
from lm.system.bounds import Count

COUNTS = Counts({"train": 5_017_482, "valid": 393_042, "test": 442_423}, 50)
CHARACTERS = Characters()
WORDS = Layout("ptb.{split}.txt")
LAYOUTS = ("ptb.char.{split}.txt", "simple-examples/data/ptb.char.{split}.txt", "{split}.txt")


class PennTreebankCharacters(PublishedFiles):
    """The character-level files in `$LM_DATA_DIR/ptb_characters`, else the word-level ones in `$LM_DATA_DIR/ptb`, or
    both in the user's cache; word-level files that are missing too are downloaded. Raises UserError if that fails."""

    def __init__(self) -> None:
        super().__init__("ptb_characters", "the character-level Penn Treebank", LAYOUTS)
        self.words = PennTreebank()

    @property
    def files(self) -> Mapping[str, Sequence[Path]]:
        found = super().files
        return {split: paths if self.layout(split) else self.words.files[split] for split, paths in found.items()}

    def move_to(self, folder: Path) -> None:
        super().move_to(folder)
        self.words.move_to(folder)

    def located(self, split: str) -> tuple[Layout, list[Path]]:
        if self.layout(split) is not None:
            return super().located(split)
        [path] = self.words.files[split]
        if not path.is_file():
            fetch(split, path, f"{self.lacking(split)}, its words are not at {path}", self.ways_out())
        return WORDS, [path]

    def ways_out(self) -> str:
        return ways_out("ptb_characters", "ptb.char.train.txt, ptb.char.valid.txt and ptb.char.test.txt")

    def pieces(self, split: str) -> Iterator[str]:
        layout, [path] = self.located(split)
        if layout is WORDS:
            for piece in self.words.pieces(split):
                yield "".join(" ".join(line.split()) + "\n" for line in lines(piece))
        else:
            for piece in TextFile(path, f"data={self.name}").pieces():
                yield "".join("".join(line.split()).replace("_", " ") + "\n" for line in lines(piece))


def lines(piece: str) -> list[str]:
    """The lines of a piece of text; the last one may lack its end."""
    return piece.removesuffix("\n").split("\n")


def ptb_characters(
    batch_size: Count, window: Count, eval_window: Count = EVAL_WINDOW, tokeniser: Tokeniser = CHARACTERS
) -> PublishedCorpus:
    """The Penn Treebank as characters: 5,017,482 / 393,042 / 442,423 tokens, 50 symbols."""
    source, choice = PennTreebankCharacters(), VocabularyChoice(tokeniser)
    return PublishedCorpus(COUNTS, True, CHARACTERS, source, batch_size, window, eval_window, choice)
