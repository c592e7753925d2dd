"""Training speed of the models that people train for hours, each beside the usual loop of the same model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from lm.models.cells.lstm import LSTM
from lm.models.heads.sampled_softmax import Sampled
from lm.models.heads.softmax import Softmax
from lm.models.recurrent_language_model import RecurrentLanguageModel
from lm.studies.benchmark.plain_recipes import PlainStack, PlainStackTraining
from lm.studies.benchmark.processes import Apart
from lm.studies.benchmark.sizes import Sizes
from lm.studies.benchmark.timing import Timing, interleaved, ratio
from lm.studies.benchmark.training import WARM_UP, StepRival, timed_windows
from lm.system.terminal import aligned


@dataclass(frozen=True)
class Recipe:
    """A model and its windows: sizes, and the arguments of `PlainStack` after them."""

    sizes: Sizes
    dropout: float
    tied: bool = False
    locked: bool = False
    weight_dropout: float = 0.0
    sampled: int = 0

    def plain(self) -> PlainStack:
        given = self.dropout, self.tied, self.locked, self.weight_dropout, self.sampled
        one = self.sizes
        return PlainStack(one.vocab_size, one.embedding_size, one.hidden_size, one.num_layers, *given)

    def model(self) -> RecurrentLanguageModel:
        one = self.sizes
        return RecurrentLanguageModel(
            one.vocab_size,
            one.embedding_size,
            one.hidden_size,
            one.num_layers,
            self.dropout,
            self.tied,
            head=Sampled(self.sampled, self.sampled) if self.sampled else Softmax(),
            cell=LSTM(weight_dropout=self.weight_dropout),
            dropout_per="window" if self.locked else "step",
        )


RECIPES: Mapping[str, Recipe] = {
    "examples_650_tied": Recipe(
        Sizes(window=35, embedding_size=650, hidden_size=650, num_layers=2), dropout=0.5, tied=True
    ),
    "3x1150": Recipe(Sizes(window=70, embedding_size=400, hidden_size=1150, num_layers=3), dropout=0.4),
    "awd_lstm": Recipe(
        Sizes(window=70, embedding_size=400, hidden_size=1150, num_layers=3),
        dropout=0.4,
        tied=True,
        locked=True,
        weight_dropout=0.5,
    ),
    "cpu_hour": Recipe(
        Sizes(window=35, embedding_size=256, hidden_size=512, num_layers=2),
        dropout=0.3,
        tied=True,
        locked=True,
        sampled=1000,
    ),
}
"""By the names of conf/experiment, with their sizes and one rate for all dropout of units, and without the rest: random
lengths, regularisation, dropout of whole words. 3x1150 has AWD-LSTM's sizes and the usual dropout."""
GOALS = {"examples_650_tied": 2.0}
RECIPE_RATIOS = {f"{name}_vs_plain": (f"plain_{name}", name, GOALS.get(name, 1.8)) for name in RECIPES}


class PlainRecipeRival:
    """The usual loop of a recipe's model. A call returns seconds per window."""

    def __init__(self, recipe: Recipe, count: int) -> None:
        self.training = PlainStackTraining(recipe.plain(), recipe.sizes.batch_size)
        self.windows = list(recipe.sizes.windows(WARM_UP + count))

    def __call__(self) -> float:
        return timed_windows(self.windows, lambda window: self.training.step(window.inputs, window.targets))


class RecipeRival(StepRival):
    """Our bare step of a recipe's model, made in the process that runs it. A call returns seconds per window."""

    def __init__(self, recipe: Recipe, count: int, precision: str) -> None:
        super().__init__(recipe.sizes, count, precision, recipe.model())


def recipes(rounds: int, windows: int, precision: str, chosen: Mapping[str, Recipe] = RECIPES) -> dict[str, Timing]:
    """Seconds per training window of each recipe: ours in the training precision and in fp32, and the plain loop."""
    found: dict[str, Timing] = {}
    for name, recipe in chosen.items():
        with ExitStack() as stack:
            rivals: dict[str, Callable[[], object]] = {
                name: stack.enter_context(Apart(RecipeRival, recipe, windows, precision)),
                f"plain_{name}": stack.enter_context(Apart(PlainRecipeRival, recipe, windows)),
            }
            if precision != "32-true":
                rivals[f"{name}_fp32"] = stack.enter_context(Apart(RecipeRival, recipe, windows, "32-true"))
            found |= interleaved(rivals, rounds)
    return found


def recipe_rows(found: Mapping[str, Timing], chosen: Mapping[str, Recipe] = RECIPES) -> list[dict[str, Any]]:
    """One row per recipe: seconds and tokens per second in each way, and how many times as fast as the plain loop."""
    rows = []
    for name, recipe in chosen.items():
        if name not in found:
            continue
        ours, plain, tokens = found[name], found[f"plain_{name}"], recipe.sizes.batch_size * recipe.sizes.window
        exact = found.get(f"{name}_fp32", ours)
        rows.append(
            {
                "recipe": name,
                "timings": [timing for timing in found if timing.removeprefix("plain_").removesuffix("_fp32") == name],
                "seconds": ours.median,
                "seconds_plain": plain.median,
                "tokens_per_second": tokens / ours.median,
                "tokens_per_second_plain": tokens / plain.median,
                "vs_plain": ratio(plain, ours),
                "vs_plain_fp32": ratio(plain, exact),
            }
        )
    return rows


def recipe_table(rows: list[dict[str, Any]]) -> str:
    """Format the rows of `recipe_rows` as a text table."""
    lines = [("recipe", "ms a window", "plain loop", "tokens/s", "plain loop", "times as fast", "in fp32", "goal")]
    for row in rows:
        times = [f"{1000 * row[key]:.1f}" for key in ("seconds", "seconds_plain")]
        speeds = [f"{row[key]:,.0f}" for key in ("tokens_per_second", "tokens_per_second_plain")]
        *_, goal = RECIPE_RATIOS[f"{row['recipe']}_vs_plain"]
        fast = [f"{row[key]:.2f}" for key in ("vs_plain", "vs_plain_fp32")]
        lines.append((row["recipe"], times[0], times[1], speeds[0], speeds[1], fast[0], fast[1], f"{goal:.1f}"))
    return "\n".join(aligned(lines, "lrrrrrrr"))
