"""What every evaluator offers: a way to score a text that leaves the model as it was."""

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
    """A way to score a text. Its fields are the keys of its file in conf/evaluator/.

    `temperature` divides the logits; `auto` finds the best one for the fixed weights on the validation text. `corpus`
    gives the other splits to what is to be found or collected there, and is asked for nothing else.
    """

    temperature: Annotated[float, Above(0)] | Literal["auto"] = 1.0
    corpus: Corpus | None = None

    changes_weights: ClassVar[bool] = False

    @property
    @abstractmethod
    def name(self) -> str:
        """Its name in conf/evaluator/ and in reports."""

    @abstractmethod
    def parts(self, model: LanguageModel, ids: np.ndarray) -> Iterator[Scored]:
        """Ids [N] -> the words scored and their nats, part by part; no word's nats depend on a later word.

        Called by `scoring`, with the model in evaluation mode and nothing left to be found.
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
        """The parts of a text [N]. However the context ends, the model is then what it was before: weights, modes."""
        evaluator = self.resolved(model)
        with unchanged(model, weights=self.changes_weights), exact(device_of(model).type):
            model.eval()
            yield evaluator.parts(model, ids)

    def split(self, split: str, purpose: str, remedy: str) -> np.ndarray:
        """Ids of another split than the one scored. Raises UserError, naming purpose and remedy, where it is not."""
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
    """An evaluator that reads the true words, so that its hidden vectors are at hand for others to build on."""

    @abstractmethod
    def read(self, model: LanguageModel, ids: np.ndarray) -> Iterator[Reading]:
        """Ids [N] -> ids[1:], their nats and the hidden vectors that predict them, in reading order."""

    def parts(self, model: LanguageModel, ids: np.ndarray) -> Iterator[Scored]:
        for words, nats, _ in self.read(model, ids):
            yield Scored(words, nats.cpu())


def evaluate(evaluator: Evaluator, model: LanguageModel, ids: np.ndarray | Sequence[int]) -> tuple[Score, Scored]:
    """Score a whole text [N], all but its first word, which is given: the sum, and the single words behind it.

    `Vocab.sentence` makes ids whose first word stands behind a sentence's end, so that all of a text is scored. Raises
    UserError for a text of fewer than two ids.
    """
    ids, score, read = np.asarray(ids), Score(), 0
    if len(ids) < 2:
        raise UserError(
            f"a text of {len(ids)} ids has nothing to score: the first is given, each further one predicted; "
            "Vocab.sentence puts the end of a sentence in front"
        )
    # In one piece: thousands of small tensors, kept among the large ones that come and go, would tear memory to shreds.
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
    """A setting of an evaluator that was `resolved`."""
    if value == AUTO:
        raise UserError("auto stands for a number that is to be found first: see Evaluator.scoring and .resolved")
    return value
