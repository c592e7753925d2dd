"""Where the published corpora lie: their folder, their layouts, the download, and the refusal without one."""

from __future__ import annotations

import os
import shutil
import sys
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lm.data.source import SPLITS, Source
from lm.system.errors import UserError
from lm.system.file_hash import content_hash
from lm.system.files import user_cache, whole

AGENT = "recurrent-lm"
"""What a download says of itself: the host of WikiText is reported to refuse the default name of Python's urllib."""


def corpus_folder(name: str) -> Path:
    """`$LM_DATA_DIR/name`, or `name` in the user's cache folder."""
    root = os.environ.get("LM_DATA_DIR")
    return (Path(root).expanduser() if root else user_cache()).resolve() / name


def ways_out(name: str, files: str) -> str:
    """What a user can do without a download, as a part of a message."""
    return (
        f"Either put {files} there by hand; or set LM_DATA_DIR to the folder that contains `{name}`; or train on text "
        "that needs no download: data=pydoc, or data=text data.train=FILE"
    )


def download(urls: Sequence[str], known_hash: str, path: Path, lacking: str, ways: str) -> None:
    """Download a file from the first address that has it. `known_hash` is pooch's: `sha256:...` or `md5:...`.

    Raises UserError, which begins with `lacking` (what is not where) and ends with the `ways` out.
    """
    import pooch

    failures = []
    for url in urls:
        downloader = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), headers={"User-Agent": AGENT})
        try:
            pooch.retrieve(url, known_hash=known_hash, fname=path.name, path=path.parent, downloader=downloader)
            return
        except (OSError, ValueError) as error:  # no route, a refused write, or a wrong checksum
            failures.append(f"{url} ({type(error).__name__})")
    raise UserError(f"{lacking} and could not be downloaded from {' or '.join(failures)}. {ways}")


@dataclass(frozen=True)
class Archive:
    """A published zip archive: its name, addresses and checksum, and the files that it gives, {member: name}."""

    name: str
    urls: Sequence[str]
    known_hash: str
    members: Mapping[str, str]

    def unpack(self, folder: Path) -> None:
        """Write the members into the archive's folder, but change no file that is there.

        Raises UserError if a member is not in the archive, or the archive is damaged.
        """
        path = folder / self.name
        missing = {member: name for member, name in self.members.items() if not (folder / name).exists()}
        try:
            with zipfile.ZipFile(path) as packed:
                for member, name in missing.items():
                    with (
                        packed.open(member) as content,
                        whole(folder / name, f"unpack {path} by hand, or set LM_DATA_DIR") as aside,
                        aside.open("wb") as file,
                    ):
                        shutil.copyfileobj(content, file)
        except (KeyError, zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise UserError(
                f"{path} is not the published archive: {error}; delete it to have it downloaded again"
            ) from None


@dataclass(frozen=True)
class Layout:
    """A form in which people have a corpus: the pattern of a split's files below the corpus's folder.

    `{split}` is train, valid or test; Parquet files of Hugging Face say validation. Without `{split}` the file holds
    the whole text.
    """

    pattern: str

    def named(self, split: str) -> str:
        return self.pattern.format(split="validation" if split == "valid" and self.parquet else split)

    def files(self, folder: Path, split: str) -> list[Path]:
        return sorted(path for path in folder.glob(self.named(split)) if path.is_file())

    @property
    def parquet(self) -> bool:
        return self.pattern.endswith(".parquet")

    @property
    def uncut(self) -> bool:
        return "{split}" not in self.pattern


class PublishedFiles(Source):
    """A corpus in `$LM_DATA_DIR/name`, or in the user's cache, in one of several layouts; downloaded if it is missing.

    Args:
        name: the corpus's folder and its option in the `data` group.
        title: its name in messages.
        layouts: where its files are looked for, in this order. One that has all splits is preferred.
        archive: what is unpacked, or downloaded, if there are no such files.
    """

    def __init__(self, name: str, title: str, layouts: Iterable[str], archive: Archive | None = None) -> None:
        self.name, self.title, self.archive = name, title, archive
        self.layouts = tuple(map(Layout, layouts))
        self.folder = corpus_folder(name)

    def layout(self, split: str) -> Layout | None:
        """The layout in which a split is found, without a download; None if it is not there."""
        there = [layout for layout in self.layouts if layout.files(self.folder, split)]
        complete = (layout for layout in there if all(layout.files(self.folder, other) for other in SPLITS))
        return next(complete, there[0] if there else None)

    @property
    def files(self) -> Mapping[str, Sequence[Path]]:
        found = {split: self.layout(split) or self.layouts[0] for split in SPLITS}
        return {
            split: layout.files(self.folder, split) or [self.folder / layout.named(split)]
            for split, layout in found.items()
        }

    def move_to(self, folder: Path) -> None:
        self.folder = folder

    def located(self, split: str) -> tuple[Layout, list[Path]]:
        """The layout and the files of a split, downloaded if they are missing. Raises UserError if that fails."""
        if (layout := self.layout(split)) is None:
            self.fetch(split)
            layout = self.layout(split)
        if layout is None:
            raise UserError(f"{self.lacking(split)}. {self.ways_out()}")
        return layout, layout.files(self.folder, split)

    def fetch(self, split: str) -> None:
        """Unpack the archive, downloaded if it is missing."""
        if self.archive is not None:
            path = self.folder / self.archive.name
            if not path.is_file():
                download(self.archive.urls, self.archive.known_hash, path, self.lacking(split), self.ways_out())
            self.archive.unpack(self.folder)

    def lacking(self, split: str) -> str:
        """What is not where, for a message."""
        sought = ", ".join(layout.named(split) for layout in self.layouts)
        return f"{self.title}: the {split} text is not in {self.folder} (looked for: {sought})"

    def ways_out(self) -> str:
        files = ", ".join(dict.fromkeys(self.layouts[0].named(split) for split in SPLITS))
        return ways_out(self.name, files if self.archive is None else f"{files}, or {self.archive.name},")

    def fingerprint(self) -> dict[str, object]:
        found = {split: self.located(split) for split in SPLITS}
        return {
            "published": self.name,
            "files": {split: [layout.pattern, *map(readable_hash, paths)] for split, (layout, paths) in found.items()},
        }


def readable_hash(path: Path) -> str:
    """The SHA-256 of a file. Raises UserError if it cannot be read."""
    try:
        return content_hash(path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; check the file and its rights") from None
