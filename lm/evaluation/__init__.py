"""From a model and a text to nats, tokens and perplexity: one evaluator a file, all behind `Evaluator`."""

from lm.evaluation.base import Evaluator, Scored, evaluate
from lm.evaluation.cache import Cache
from lm.evaluation.dynamic import Dynamic
from lm.evaluation.free_running import FreeRunning
from lm.evaluation.score import Score, perplexity
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
    "perplexity",
]
