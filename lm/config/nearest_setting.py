"""Finds the setting that a user meant by a name that is not one."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from lm.config.conf_folder import CONF

OTHER_NAMES = {
    "accelerator": "cuda gpu gpus device devices use_cuda",
    "checkpoint": "ckpt ckpt_path resume resume_from load model_path",
    "data": "dataset corpus",
    "data/tokeniser": "unit tokenizer tokenization tokenisation",
    "data.window": "bptt seq_len seq_length sequence_length num_steps block_size",
    "forcing": "teacher_forcing teacher_forcing_ratio",
    "hydra.run.dir": "out out_dir output_dir save save_dir log_dir logdir run_dir",
    "model.embedding_size": "emsize emb_size emb_dim embed_size embed_dim embedding_dim",
    "model.hidden_size": "nhid hidden hidden_dim hidden_units n_hidden num_hidden",
    "model.num_layers": "nlayers n_layers layers",
    "model.tied": "tie_weights tied_weights weight_tying",
    "optim": "optimizer optimiser",
    "optim.clip": "grad_clip clip_grad max_grad_norm gradient_clip_val",
    "optim.lr": "learning_rate",
    "optim.weight_decay": "wdecay wd",
    "optim/schedule": "scheduler lr_scheduler",
    "prompt": "text",
    "sampler.max_new_tokens": "length max_length num_words n_words",
    "text": "prompt sentence",
    "trainer.log_every_n_steps": "log_interval log_every",
    "trainer.max_epochs": "epoch epochs num_epochs n_epochs",
    "weights_from": "pretrained init_from finetune",
}
"""Settings and groups, each with its names in other programs, or an earlier one here."""
OTHER_OPTIONS = {"character": "characters", "word": "whitespace", "byte": "bytes"}


def leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The dotted names of all settings in a part of a configuration."""
    for key, value in node.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{key}.")
        elif key not in ("_target_", "defaults"):
            yield f"{prefix}{key}"


def meant(name: str, known: Collection[str]) -> list[str]:
    """The known settings that an unknown name stands for.

    `known` holds names such as `optim.lr` and `optim/schedule`. A name stands for those that other programs call so,
    else for those with the same last part, else for one with the same parts joined in another way (`optim_lr`).
    """
    last = _last(name.lower())
    for setting in (setting for setting, others in OTHER_NAMES.items() if last in others.split()):
        found = [setting] if setting in known else [one for one in known if _last(one) == _last(setting)]
        if found:
            return found
    same = [one for one in known if _last(one) == last]
    return same or [one for one in known if _joined(one) == _joined(name)]


def similar(name: str, known: Collection[str]) -> list[str]:
    """The known settings whose last part is spelled nearly as that of `name`, else one that is nearly the whole."""
    by_last: dict[str, list[str]] = {}
    for one in known:
        by_last.setdefault(_last(one), []).append(one)
    near = get_close_matches(_last(name.lower()), by_last, n=1, cutoff=0.8)
    whole = {_joined(one): one for one in known}
    return by_last[near[0]] if near else [whole[one] for one in get_close_matches(_joined(name), whole, 1, cutoff=0.85)]


def did_you_mean_setting(names: list[str], value: str | None = None) -> str:
    """The question 'Did you mean optim.lr=0.1?' for one or more settings."""
    shown = [_with_value(name, value) for name in names]
    return f"Did you mean {' or '.join([', '.join(shown[:-1]), shown[-1]] if shown[1:] else shown)}?"


def _with_value(name: str, value: str | None) -> str:
    if (CONF / name).is_dir():
        if name == "accelerator" and value not in (None, "cpu", "mps", "auto"):
            value = "gpu"
        value = OTHER_OPTIONS.get(value or "", value)
        options = sorted(file.stem for file in (CONF / name).glob("*.yaml"))
        value = value if value in options else "|".join(options)
        plus = "+" if name in ("experiment", "sweep") else ""
        return f"{plus}{name}={value}"
    return f"{name}={value or '...'}"


def _last(name: str) -> str:
    return re.split(r"[./]", name)[-1]


def _joined(name: str) -> str:
    return re.sub(r"[./-]", "_", name.lower())
