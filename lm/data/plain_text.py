"""Reads plain text. There is one reader, whether a text trains a model, is scored or is a prompt.

Text is UTF-8. A byte order mark at its start is dropped, and a zero byte is refused. Lines end with LF or CRLF. All
other white space (a lone CR, tab, form feed, NEL, NBSP, U+2028 ...) separates words and never ends a line.
"""

from __future__ import annotations

from lm.system.errors import UserError

BYTE_ORDER_MARK = "\ufeff"


def decoded(data: bytes, name: str, at: int = 0) -> str:
    """Decode a part of a text that begins at byte `at`. Raises UserError, which names `name`, for other than UTF-8."""
    if b"\0" in data:
        raise UserError(f"{name} is not text (byte {at + data.index(0)} is zero); name a plain UTF-8 text file")
    try:
        return normalised(data.decode("utf-8"), first=at == 0)
    except UnicodeDecodeError as error:
        raise UserError(
            f"{name} is not UTF-8 (byte {at + error.start} is 0x{data[error.start]:02x}); "
            "convert it first, for example: iconv -f LATIN1 -t UTF-8 OLD > NEW"
        ) from None


def normalised(text: str, first: bool = True) -> str:
    """Drop a byte order mark at the start of a text (`first`: the text begins here), and make CRLF a plain LF."""
    return (text.removeprefix(BYTE_ORDER_MARK) if first else text).replace("\r\n", "\n")


def utf8(text: str) -> bytes:
    """The bytes of a text. Bytes that were no characters when the text was read are given back as they were."""
    return text.encode("utf-8", errors="surrogateescape")


def bytes_of(text: str) -> int:
    """How many bytes a text has in UTF-8."""
    return len(text) if text.isascii() else len(utf8(text))


def with_last_line_end(text: str) -> str:
    """Add a missing end of the last line, so that this line too ends with `<eos>`."""
    return text if not text or text.endswith("\n") else f"{text}\n"
