"""Tokenisers: one kind per file, all subclasses of `Tokeniser`; each option of `data/tokeniser` is one of them."""

from lm.data.tokenisers.byte_values import Bytes
from lm.data.tokenisers.characters import Characters
from lm.data.tokenisers.hugging_face import BPE, File
from lm.data.tokenisers.punctuation import Punctuation
from lm.data.tokenisers.tokeniser import EOS, UNK, Tokeniser
from lm.data.tokenisers.whitespace import Whitespace

__all__ = ["BPE", "EOS", "UNK", "Bytes", "Characters", "File", "Punctuation", "Tokeniser", "Whitespace"]
