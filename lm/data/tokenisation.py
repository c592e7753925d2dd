"""Splits text into tokens."""

from __future__ import annotations

from collections.abc import Callable

EOS = "<eos>"


def split_words(text: str) -> list[str]:
    """Split at white space; the end of each line becomes the word `<eos>`."""
    return text.replace("\n", f" {EOS} ").split()


def split_characters(text: str) -> list[str]:
    """Each character is a token; the end of each line becomes `<eos>`."""
    return [EOS if character == "\n" else character for character in text]


SPLITTERS: dict[str, Callable[[str], list[str]]] = {"word": split_words, "character": split_characters}
