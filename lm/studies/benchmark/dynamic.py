"""Speed of dynamic evaluation, beside the usual loop over the parameters."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lm.data.streams import Window, one_stream
from lm.evaluation.dynamic import Dynamic, Learner
from lm.studies.benchmark.plain import PlainModel
from lm.studies.benchmark.processes import Apart
from lm.studies.benchmark.sizes import Sizes
from lm.studies.benchmark.text import zipf_ids
from lm.studies.benchmark.timing import Timing, interleaved, seconds
from lm.system.memory import keep_freed_memory

WINDOWS = 20  # in a call


def dynamic(sizes: Sizes, rounds: int) -> dict[str, Timing]:
    """Seconds per token of dynamic evaluation with its default settings, one stream, in fp32: ours, the usual loop."""
    with Apart(ours, sizes) as here, Apart(plain, sizes) as there:
        found = interleaved({"dynamic": here, "plain_dynamic": there}, rounds)
    return {name: timing.per(WINDOWS * Dynamic.window) for name, timing in found.items()}


def text(sizes: Sizes) -> list[Window]:
    return list(one_stream(zipf_ids(WINDOWS * Dynamic.window + 1, sizes.vocab_size), Dynamic.window))


def ours(sizes: Sizes) -> Callable[[], float]:
    """Our reading of the windows of `text`; a call returns its seconds."""
    keep_freed_memory()
    model, windows = sizes.model().eval(), text(sizes)
    learner = Learner(Dynamic(rule="sgd"), model)
    # Drawn, because their values do not change the time: the statistics of a whole text would take minutes.
    learner.rates = [1e-6 * torch.rand_like(weight) for weight in learner.trained]
    learner.pulls = [1e-3 * torch.rand_like(weight) for weight in learner.trained]

    def work() -> None:
        state = model.initial_state(1)
        for window in windows:
            _, state = learner.learn(window, state)

    return lambda: seconds(work)


def plain(sizes: Sizes) -> Callable[[], float]:
    """The usual reading, with a loop over the parameters after each window; a call returns its seconds."""
    settings, windows = Dynamic(), text(sizes)
    model = PlainModel(sizes.vocab_size, sizes.embedding_size, sizes.hidden_size, sizes.num_layers)
    criterion = torch.nn.CrossEntropyLoss()
    trained = [weight.detach().clone() for weight in model.parameters()]
    rms = [torch.rand_like(weight) for weight in trained]
    mean = float(torch.stack([part.mean() for part in rms]).mean())
    pulls = [(settings.decay * root / mean).clamp(max=1) for root in rms]

    def learn(window: Window, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        outputs, state = model(window.inputs, tuple(part.detach() for part in state))
        model.zero_grad()
        criterion(outputs, window.targets.reshape(-1)).backward()
        with torch.no_grad():
            for weight, before, root, pull in zip(model.parameters(), trained, rms, pulls, strict=True):
                assert weight.grad is not None
                step = settings.lr * weight.grad / (root + settings.epsilon)
                weight.add_(pull * (before - weight) - step)
        return state

    def work() -> None:
        state = model.start(1)
        for window in windows:
            state = learn(window, state)

    return lambda: seconds(work)
