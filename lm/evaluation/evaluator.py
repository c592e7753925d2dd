"""The interface of evaluators: they score a text and leave the model unchanged."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch

from lm.evaluation.reading import Reading, Scored, device_of, unchanged
from lm.evaluation.score import Score
from lm.evaluation.temperature import best_temperature
from lm.models.interfaces import LanguageModel
from lm.system.bounds import Above, Bounded
from lm.system.errors import UserError
from lm.system.precision import exact
from lm.system.terminal import bar

Corpus = Callable[[str], np.ndarray]
"""The ids of a split ("train", "valid", "test") of the text that a model was trained on."""

AUTO: Literal["auto"] = "auto"


@dataclass(frozen=True, kw_only=True)
class Evaluator(Bounded, ABC, group="evaluator"):
    """A method to score a text. Its fields are the keys of its file in conf/evaluator/.

    Args:
        temperature: divides the logits. `auto` finds the best value on the validation text, with fixed weights.
        corpus: returns the ids of a split. Needed only for `auto` and for statistics of the training text.
    """

    temperature: Annotated[float, Above(0)] | Literal["auto"] = 1.0
    corpus: Corpus | None = None

    changes_weights: ClassVar[bool] = False

    @property
    @abstractmethod
    def name(self) -> str:
        """The evaluator's name in conf/evaluator/ and in reports."""

    @abstractmethod
    def parts(self, model: LanguageModel, ids: np.ndarray) -> Iterator[Scored]:
        """Ids [N] -> the words scored and their nats, part by part; no word's nats depend on a later word.

        Called by `scoring`, with the model in evaluation mode and every `auto` replaced by a number.
        """

    def resolved(self, model: LanguageModel) -> Self:
        """The same evaluator with a number for every `auto`, found on the validation text. Raises UserError."""
        if self.temperature != AUTO:
            return self
        ids = self.split("valid", "evaluator.temperature=auto", "or give a number")
        with unchanged(model), exact(device_of(model).type):
            return replace(self, temperature=best_temperature(model.eval(), ids))

    @contextmanager
    def scoring(self, model: LanguageModel, ids: np.ndarray) -> Iterator[Iterator[Scored]]:
        """The parts of a text [N]. On exit, also after an error, the model has its earlier weights and modes again."""
        evaluator = self.resolved(model)
        with unchanged(model, weights=self.changes_weights), exact(device_of(model).type):
            model.eval()
            yield evaluator.parts(model, ids)

    def split(self, split: str, purpose: str, remedy: str) -> np.ndarray:
        """Ids of a split other than the one scored. Raises UserError with purpose and remedy if it is missing."""
        if self.corpus is None:
            raise UserError(f"{purpose} reads the {split} split of the model's corpus: give `corpus`, {remedy}")
        try:
            return self.corpus(split)
        except UserError as error:
            raise UserError(f"{purpose} reads the {split} split of the model's corpus, {remedy}: {error}") from None

    @property
    def settings(self) -> dict[str, Any]:
        """The fields as plain values, for reports."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "corpus"}
        nested = {key: value for key, value in values.items() if isinstance(value, Evaluator)}
        return values | {key: {"evaluator": value.name, **value.settings} for key, value in nested.items()}


class Reader(Evaluator):
    """An evaluator that reads the true words and gives its hidden vectors, so that others can build on it."""

    @abstractmethod
    def read(self, model: LanguageModel, ids: np.ndarray) -> Iterator[Reading]:
        """Ids [N] -> ids[1:], their nats and the hidden vectors that predict them, in reading order."""

    def parts(self, model: LanguageModel, ids: np.ndarray) -> Iterator[Scored]:
        for words, nats, _ in self.read(model, ids):
            yield Scored(words, nats.cpu())


def evaluate(evaluator: Evaluator, model: LanguageModel, ids: np.ndarray | Sequence[int]) -> tuple[Score, Scored]:
    """Score a text [N] except its first word, which is given: the total, and the nats of each word.

    `Vocab.sentence` puts a sentence's end before the first word, so that all of a text is scored. Raises UserError for
    a text of fewer than two ids.
    """
    ids, score, read = np.asarray(ids), Score(), 0
    if len(ids) < 2:
        raise UserError(
            f"a text of {len(ids)} ids has nothing to score: the first id is given, each later one is predicted; "
            "Vocab.sentence puts the end of a sentence before the text"
        )
    # Allocated once: thousands of small tensors between large short-lived ones would fragment the memory.
    scored = Scored(torch.empty(len(ids) - 1, dtype=torch.long), torch.empty(len(ids) - 1))
    with evaluator.scoring(model, ids) as scoring, bar(evaluator.name, len(ids) - 1) as progress:
        for part in scoring:
            score += part.nats
            for kept, new in zip(scored, part, strict=True):
                kept[read : read + len(new)] = new
            read += len(part.words)
            progress.set_postfix_str(f"perplexity {score.perplexity:.2f}", refresh=False)
            progress.update(len(part.words))
    return score, Scored(scored.words[:read], scored.nats[:read])


def number(value: float | Literal["auto"]) -> float:
    """A setting of an evaluator that was `resolved`. Raises UserError for `auto`."""
    if value == AUTO:
        raise UserError("auto must be replaced by a number first: see Evaluator.scoring and Evaluator.resolved")
    return value
