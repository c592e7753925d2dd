"""Sources of text, one per file, and the functions that make a corpus for each option of the `data` group."""

from lm.data.sources.markov_chain import MarkovSource, synthetic
from lm.data.sources.penn_treebank import PennTreebank, ptb
from lm.data.sources.penn_treebank_characters import PennTreebankCharacters, ptb_characters
from lm.data.sources.pydoc_topics import PydocTopics, pydoc
from lm.data.sources.text_files import TextFiles, text
from lm.data.sources.wikipedia_bytes import WikipediaBytes, enwik8, text8
from lm.data.sources.wikitext import WikiText, wikitext2, wikitext103

__all__ = [
    "MarkovSource",
    "PennTreebank",
    "PennTreebankCharacters",
    "PydocTopics",
    "TextFiles",
    "WikiText",
    "WikipediaBytes",
    "enwik8",
    "ptb",
    "ptb_characters",
    "pydoc",
    "synthetic",
    "text",
    "text8",
    "wikitext2",
    "wikitext103",
]
