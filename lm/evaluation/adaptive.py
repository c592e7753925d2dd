"""Adaptive surprisal: the weights learn from each sentence after it has been scored (van Schijndel & Linzen 2018)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from lm.data.streams import one_stream
from lm.data.vocabulary import Vocab
from lm.evaluation.dynamic import Dynamic, Learner
from lm.evaluation.evaluator import number
from lm.evaluation.predictors import Neural
from lm.evaluation.reading import unchanged
from lm.evaluation.sentences import Sentence, encoded, score_sentences
from lm.models.interfaces import LanguageModel


def adapting(
    evaluator: Dynamic,
    model: LanguageModel,
    vocab: Vocab,
    texts: Iterable[str],
    entropy: bool = True,
    kept: Callable[[LanguageModel], None] = lambda model: None,
) -> Iterator[Sentence]:
    """Score each text by itself, in order, with weights that have learned from all texts before it.

    `kept` gets the adapted model at the end; afterwards the weights are what they were.
    """
    ready = evaluator.resolved(model)
    with unchanged(model, weights=True):
        learner, predictor = Learner(ready, model.eval()), Neural(model, number(ready.temperature))
        for text in texts:
            yield from score_sentences(predictor, vocab, [text], entropy=entropy)
            if ready.lr == 0:
                continue
            ids = encoded(vocab, text).ids
            learner.learn(one_stream(ids, len(ids))[0], model.initial_state(1))
        kept(model)
