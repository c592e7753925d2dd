"""Sources of text, one per file, and the functions that make a corpus for each option of the `data` group."""

from lm.data.sources.markov_chain import MarkovSource, synthetic
from lm.data.sources.penn_treebank import PennTreebank, ptb
from lm.data.sources.pydoc_topics import PydocTopics, pydoc
from lm.data.sources.text_files import TextFiles, text

__all__ = [
    "MarkovSource",
    "PennTreebank",
    "PydocTopics",
    "TextFiles",
    "ptb",
    "pydoc",
    "synthetic",
    "text",
]
