"""`sample.py`: prints text drawn from a trained model."""

from __future__ import annotations

from contextlib import nullcontext

from omegaconf import DictConfig

from lm.commands.inputs import asked_precision, asked_text, load_trained
from lm.config.build import build
from lm.config.hydra_job import containers
from lm.models.kernels.int8 import int8_weights
from lm.runs.known_words import prompt_ids
from lm.sampling.generate import texts

SEPARATOR = "---"


def sample(cfg: DictConfig) -> None:
    """Print text drawn from a checkpoint's model to standard output, with a line `---` between two sequences."""
    trained = load_trained(cfg)
    sampler = build(containers(cfg.sampler), "sampler")
    text = asked_text(cfg.prompt, cfg.prompt_file, "prompt")
    prompt = None if text is None else prompt_ids(trained.vocab, text)
    with int8_weights(trained.model) if asked_precision(cfg, "auto", "32-true", "int8") == "int8" else nullcontext():
        found = texts(trained.model, sampler, trained.vocab, cfg.seed, prompt)
    print(f"\n{SEPARATOR}\n".join(found))
