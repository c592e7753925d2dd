"""One reader for every text: what training reads, what is scored and what is a prompt."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lm.commands.inputs import asked_text
from lm.data.plain_text import decoded, normalised
from lm.data.source import end_last_line
from lm.data.sources.text_files import TextFiles
from lm.data.tokenisers import EOS, Whitespace
from lm.system.errors import UserError

BLANKS = ["\r", "\t", "\f", "\v", "\x85", "\xa0", "\u2028", "\u2029", "\x1c", "\u3000"]
TEXTS = st.lists(st.sampled_from(["a", "b", " ", "\n", "\r\n", "\ufeff", *BLANKS]), min_size=1).map("".join)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("text") / "text"


@given(text=TEXTS)
def test_a_scored_file_is_read_as_a_corpus_is(file: Path, text: str) -> None:
    file.write_bytes(text.encode())
    trained = "".join(end_last_line(TextFiles(file, file, file).pieces("train")))
    assert asked_text(None, str(file), "text") == asked_text(None, str(file), "prompt") == trained


def test_a_byte_order_mark_does_not_change_the_first_word() -> None:
    assert Whitespace().split(decoded("\ufeffthe army\r\n".encode(), "x")) == ["the", "army", EOS]
    assert normalised("\ufeffthe") == "the"


@pytest.mark.parametrize("blank", BLANKS)
def test_only_lf_and_crlf_end_a_line(blank: str) -> None:
    assert Whitespace().split(decoded(f"a{blank}b\r\nc\n".encode(), "x")) == ["a", "b", EOS, "c", EOS]


@pytest.mark.parametrize(("data", "said"), [(b"a\0b", "byte 1 is zero"), (b"a\xe9b", "byte 1 is 0xe9")])
@pytest.mark.parametrize("way", ["file", "input", "corpus"])
def test_bytes_that_are_no_text_are_refused_everywhere(
    data: bytes, said: str, way: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_bytes(data)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    read = {
        "corpus": lambda: list(TextFiles(file, file, file).pieces("train")),
        "file": lambda: asked_text(None, str(file), "text"),
        "input": lambda: asked_text(None, "-", "text"),
    }[way]
    with pytest.raises(UserError, match=said) as refused:
        read()
    assert ("standard input" if way == "input" else str(file)) in str(refused.value)


def test_a_typed_text_ends_where_it_was_typed() -> None:
    assert asked_text("the army", None, "text") == "the army"
    assert asked_text("the\r\narmy\n", None, "text") == "the\narmy\n"
