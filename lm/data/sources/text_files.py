"""Text from the user's own files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from lm.data.corpus import Corpus, VocabSize
from lm.data.plain_text import decoded
from lm.data.source import SPLITS, Source
from lm.data.streams import EVAL_WINDOW
from lm.system.bounds import Count
from lm.system.errors import UserError
from lm.system.file_hash import content_hash

PIECE_BYTES = 1 << 24  # text is read and encoded 16 MB at a time, so that memory stays flat


class TextFiles(Source):
    """Plain UTF-8 files: either three files, used as they are, or one file, split at line ends into contiguous parts.

    Args:
        train: the training text, or the single file.
        valid: the validation text; None: a part of the single file.
        test: the test text; None: a part of the single file.
        fractions: the parts of a single file for train, valid and test.

    Raises:
        UserError: when a file is read that is missing, empty, binary or not UTF-8.
    """

    def __init__(
        self,
        train: str | Path,
        valid: str | Path | None = None,
        test: str | Path | None = None,
        fractions: Sequence[float] = (0.8, 0.1, 0.1),
    ) -> None:
        if (valid is None) != (test is None):
            given, missing = ("data.test", "data.valid") if valid is None else ("data.valid", "data.test")
            raise UserError(
                f"{given} is given but {missing} is not: give all three, or only data.train, which is then split"
            )
        if valid is None and (len(fractions) != 3 or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6):
            raise UserError(f"data.fractions must be three positive numbers that add up to 1; got {list(fractions)}")
        self.fractions = tuple(fractions)
        single = valid is None or test is None
        paths = [train] * 3 if single else [train, valid, test]
        self.paths = {split: Path(str(path)).expanduser().resolve() for split, path in zip(SPLITS, paths, strict=True)}
        self.single = single

    @property
    def files(self) -> Mapping[str, Path]:
        return self.paths

    def move_to(self, folder: Path) -> None:
        self.paths = {split: folder / path.name for split, path in self.paths.items()}

    def file(self, split: str) -> Path:
        """The file of a split. Raises UserError if it is missing or empty."""
        path = self.paths[split]
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "does not exist"
            raise UserError(f"data.{split}: {path} {what}; name a text file: data.{split}=FILE")
        if path.stat().st_size == 0:
            raise UserError(f"data.{split}: {path} is empty; name a file that contains text")
        return path

    def fingerprint(self) -> dict[str, object]:
        hashes: dict[Path, str] = {}
        for split in SPLITS:
            if (path := self.file(split)) not in hashes:
                with _reading(split, path):
                    hashes[path] = content_hash(path)
        files = {split: hashes[path] for split, path in self.paths.items()}
        return {"files": files, "fractions": self.fractions if self.single else None}

    def pieces(self, split: str) -> Iterator[str]:
        path = self.file(split)
        start, end = self._span(split)
        with _reading(split, path), path.open("rb") as file:
            file.seek(start)
            while (at := file.tell()) < end:
                data = file.read(min(PIECE_BYTES, end - at))
                if file.tell() < end:
                    data += file.readline()
                yield decoded(data, str(path), at)

    def _span(self, split: str) -> tuple[int, int]:
        """The first byte of a split and the byte after its last; splits begin and end at line ends."""
        path = self.paths[split]
        size = path.stat().st_size
        if not self.single:
            return 0, size
        cuts = [0]
        with path.open("rb") as file:
            for share in (self.fractions[0], self.fractions[0] + self.fractions[1]):
                file.seek(int(size * share))
                file.readline()
                cuts.append(min(file.tell(), size))
        cuts.append(size)
        number = SPLITS.index(split)
        if cuts[number] >= cuts[number + 1]:
            raise UserError(
                f"{path} has too few lines to be split into train, valid and test; "
                "break it into lines, or give data.train, data.valid and data.test"
            )
        return cuts[number], cuts[number + 1]


@contextmanager
def _reading(split: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"data.{split}: cannot read {path}: {error.strerror}; check the file and its rights") from None


def text(
    train: str,
    batch_size: Count,
    window: Count,
    valid: str | None = None,
    test: str | None = None,
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    unit: Literal["word", "character"] = "word",
    vocab_size: VocabSize | None = None,
    min_count: Count = 1,
    eval_window: Count = EVAL_WINDOW,
) -> Corpus:
    """A corpus from any UTF-8 text; see `TextFiles` and `Corpus` for the settings."""
    files = TextFiles(train, valid, test, fractions)
    return Corpus(files, batch_size, window, eval_window, unit, vocab_size, min_count)
