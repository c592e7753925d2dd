"""The interface of evaluators: they score a text and leave the model unchanged."""

from __future__ import annotations

import math
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
"""A function: name of a split ("train", "valid" or "test") -> the word ids [N] of that split of a model's corpus."""

GIVEN = ("corpus", "eos")
"""Fields of evaluators that are no settings: the program gives them."""
AUTO: Literal["auto"] = "auto"


@dataclass(frozen=True, kw_only=True)
class Evaluator(Bounded, ABC, group="evaluator"):
    """A method to score a text. The fields of a subclass are the settings in its file in conf/evaluator/.

    Args:
        temperature: divides the logits. `auto` finds the best number on the validation text, with fixed weights.
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
        """Score the ids [N] of a text, and yield words and nats part by part. No word's nats depend on a later word.

        Called by `scoring`, with the model in evaluation mode and every `auto` replaced by a number.
        """

    def positions(self, length: int) -> np.ndarray:
        """The places in a text of `length` ids of the words that `parts` yields, in the same order."""
        return np.arange(1, length)

    def resolved(self, model: LanguageModel) -> Self:
        """A copy of the evaluator in which a number, found on the validation text, replaces every `auto`.

        Raises UserError if a setting is `auto` and the validation text is missing.
        """
        if self.temperature != AUTO:
            return self
        ids = self.split("valid", "evaluator.temperature=auto", "or give a number")
        with unchanged(model), exact(device_of(model).type):
            return replace(self, temperature=best_temperature(model.eval(), ids))

    @contextmanager
    def scoring(self, model: LanguageModel, ids: np.ndarray) -> Iterator[Iterator[Scored]]:
        """Score a text [N] inside the context, which gives an iterator over the scored parts.

        On exit, also after an error, the model's earlier weights and modes (training or evaluation) are restored.
        """
        evaluator = self.resolved(model)
        with unchanged(model, weights=self.changes_weights), exact(device_of(model).type):
            model.eval()
            yield evaluator.parts(model, ids)

    def split(self, split: str, purpose: str, remedy: str) -> np.ndarray:
        """The word ids of a split of the model's corpus, for an evaluator that needs more than the scored text.

        Raises UserError if the split is missing; the message contains `purpose` and `remedy`.
        """
        if self.corpus is None:
            raise UserError(f"{purpose} reads the {split} split of the model's corpus: give `corpus`, {remedy}")
        try:
            return self.corpus(split)
        except UserError as error:
            raise UserError(f"{purpose} reads the {split} split of the model's corpus, {remedy}: {error}") from None

    @property
    def settings(self) -> dict[str, Any]:
        """The evaluator's settings as plain values, for reports."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in GIVEN}
        nested = {key: value for key, value in values.items() if isinstance(value, Evaluator)}
        return values | {key: {"evaluator": value.name, **value.settings} for key, value in nested.items()}


class Reader(Evaluator):
    """An evaluator that reads the true words. It also yields hidden vectors, which other evaluators can use."""

    @abstractmethod
    def read(self, model: LanguageModel, ids: np.ndarray) -> Iterator[Reading]:
        """Read ids [N] of a text; yield ids[1:] in order, with their nats and the hidden vectors that predict them."""

    def parts(self, model: LanguageModel, ids: np.ndarray) -> Iterator[Scored]:
        for words, nats, _ in self.read(model, ids):
            yield Scored(words, nats.cpu())


def evaluate(
    evaluator: Evaluator,
    model: LanguageModel,
    ids: np.ndarray | Sequence[int],
    unk: int,
    kept: Callable[[LanguageModel], None] = lambda model: None,
) -> tuple[Score, Scored]:
    """Score a text [N]: returns the total, and the nats of each word. The first word is given, so it has no score.

    `unk` is the id of `<unk>` (`Vocab.unk`), so that unknown words are counted. To score all words of a text, use
    `Vocab.sentence`, which puts the end of a sentence before the first word. `kept` gets the model at the end, with the
    weights that an evaluator has changed. Raises UserError for a text of fewer than two ids.
    """
    ids, score, read = np.asanyarray(ids), Score(unk), 0
    if len(ids) < 2:
        raise UserError(
            f"a text of {len(ids)} ids has nothing to score: the first id is given, each later one is predicted; "
            "Vocab.sentence puts the end of a sentence before the text"
        )
    # Allocated once: thousands of small tensors between large short-lived ones would fragment the memory.
    scored = Scored(torch.empty(len(ids) - 1, dtype=torch.long), torch.empty(len(ids) - 1))
    with evaluator.scoring(model, ids) as scoring, bar(evaluator.name, len(ids) - 1) as progress:
        for part in scoring:
            score.add(part.words, part.nats)
            if math.isnan(score.nats):
                raise UserError(_not_a_number(evaluator.temperature))
            for whole, new in zip(scored, part, strict=True):
                whole[read : read + len(new)] = new
            read += len(part.words)
            progress.set_postfix_str(f"perplexity {score.perplexity:.2f}", refresh=False)
            progress.update(len(part.words))
        kept(model)
    return score, Scored(scored.words[:read], scored.nats[:read])


def _not_a_number(temperature: float | Literal["auto"]) -> str:
    if temperature in (1, AUTO):
        return "the model's nats are not numbers: its weights are too large, as after training that diverged"
    return f"the nats are not numbers with evaluator.temperature={temperature}: choose a value closer to 1"


def number(value: float | Literal["auto"]) -> float:
    """Return `value` if it is a number. Raises UserError if it is `auto`, which `Evaluator.resolved` must replace."""
    if value == AUTO:
        raise UserError("auto must be replaced by a number first: see Evaluator.scoring and Evaluator.resolved")
    return value
