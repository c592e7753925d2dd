"""Nats, tokens and perplexity of a text under a model: one evaluator per file, all subclasses of `Evaluator`."""

from lm.evaluation.cache import Cache
from lm.evaluation.dynamic import Dynamic
from lm.evaluation.evaluator import Evaluator, evaluate
from lm.evaluation.free_running import FreeRunning
from lm.evaluation.reading import Scored
from lm.evaluation.score import Score, per_text, perplexity
from lm.evaluation.static import Static

__all__ = [
    "Cache",
    "Dynamic",
    "Evaluator",
    "FreeRunning",
    "Score",
    "Scored",
    "Static",
    "evaluate",
    "per_text",
    "perplexity",
]
