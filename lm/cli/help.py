"""Makes the text of `--help` from conf/. The first line of an option's file describes the option."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

from lm.cli.program import program
from lm.config.compose import default_options
from lm.config.conf_folder import CONF
from lm.config.schemas import SCHEMAS
from lm.config.setting_types import is_group, meaning
from lm.system.bounds import annotations_of
from lm.system.terminal import aligned

EXAMPLES = {
    "train": """\
  python train.py                                          the classic exercise on the Penn Treebank
  python train.py +experiment=quickstart                   a minute of training on text inside Python
  python train.py +experiment=no_tf                        without teacher forcing, one update for each token
  python train.py data=text data.train=book.txt            your own text; a single file is split
  python train.py model.num_layers=2 model.dropout=0.5     a larger model
  python train.py optim=sgd optim/schedule=epoch_decay     another optimiser, another schedule
  python train.py tbptt.windows=4                          gradients over four windows, one update for all
  python train.py -m forcing=teacher,free_running seed=1,2 a sweep: every combination, a table at the end
  python train.py +sweep=teacher_forcing hydra.sweep.dir=S a prepared sweep; the same command again resumes it
  python train.py checkpoint=runs/2026-01-31/12-00-00      resume that run where it stopped""",
    "sample": """\
  python scripts/sample.py checkpoint=RUN prompt="the company" sampler=nucleus
  python scripts/sample.py checkpoint=RUN sampler=greedy sampler.bad_words=[<unk>] prompt_file=-""",
    "evaluate": """\
  python scripts/evaluate.py checkpoint=RUN split=valid out=figures.json
  python scripts/evaluate.py checkpoint=RUN text="the company said"
  python scripts/evaluate.py checkpoint=RUN evaluator=free_running
  python scripts/evaluate.py checkpoint=RUN evaluator=cache evaluator.theta=auto
  python scripts/evaluate.py checkpoint=RUN evaluator=dynamic evaluator.lr=1e-4""",
    "score": """\
  python scripts/score.py checkpoint=RUN file=stimuli.txt unit=bits out=surprisal.tsv summary=figures.json
  python scripts/score.py checkpoint=RUN file=blimp.jsonl format=pairs summary=accuracy.json
  python scripts/score.py checkpoint=RUN file=lists.tsv format=nbest reference=true.tsv weight=auto best=chosen.tsv
Perplexities of sentences: `all` is KenLM's "including OOVs"; `known` is SRILM's ppl, without unknown words;
`known_without_end` is SRILM's ppl1, without the sentences' ends too; `all_without_end` has the unknown words.""",
    "compare": """\
  python scripts/compare.py runs=[runs/teacher,runs/free] out=comparison
  python scripts/compare.py runs=[multirun/2026-01-31/12-00-00] perplexities=[200,150]""",
    "plot": """\
  python scripts/plot.py runs=[runs/teacher,runs/free] out=perplexity.pdf
  python scripts/plot.py runs=[runs/sweep] x=tokens y=train/loss out=loss.svg width=3.3 height=2.4""",
    "benchmark": """\
  python scripts/benchmark.py                              everything, about 20 minutes; nothing else should run
  python scripts/benchmark.py sections=[training] rounds=7 out=figures.json
  python scripts/benchmark.py sections=[sampling] sizes.hidden_size=650 sizes.num_layers=2""",
    "export": """\
  python scripts/export.py checkpoint=RUN out=models/mine
  python scripts/sample.py checkpoint=models/mine
  python scripts/export.py checkpoint=RUN out=models/mine_onnx format=onnx""",
    "distance": """\
  python scripts/distance.py checkpoint=RUN words=[army,taxpayer]""",
    "describe": """\
  python scripts/describe.py                               the Penn Treebank
  python scripts/describe.py data=text data.train=book.txt data.min_count=2 out=description""",
    "tbptt": """\
  python scripts/tbptt.py                                  two or three minutes on two cores; a report in ./tbptt-report
  python scripts/tbptt.py checkpoint=RUN out=answers       also how far gradients reach in a trained model
  python scripts/tbptt.py windows=[1,2,4] lengths=[30,60] rounds=1 streams=[10,100]
  python scripts/tbptt.py sizes.embedding_size=128 sizes.hidden_size=1024 sizes.vocab_size=10000 streams=[10,100]""",
}


def help_text(root: str) -> str:
    """The help text of the command whose root file is conf/`root`.yaml."""
    file = CONF / f"{root}.yaml"
    parts = [_about(file), "Groups (choose with group=option) and their settings (set with group.setting=value):"]
    parts += [_group(name, option) for name, option in default_options(root).items()]
    if root == "train":
        parts += [_group(name, None) for name in ("experiment", "sweep")]
    settings = "\n".join(f"  {line}" for line in [*_own_settings(SCHEMAS[root]), *_settings(file)])
    typed = "python train.py" if root == "train" else f"python scripts/{root}.py"
    examples = EXAMPLES[root].replace(typed, program(root))
    parts += [f"Settings outside groups:\n{settings}", f"Examples:\n{examples}"]
    parts.append("--cfg job prints the configuration without running it; --hydra-help describes Hydra's own options.")
    return "\n\n".join(parts)


def _group(name: str, chosen: str | None) -> str:
    """Describe a group: each option with the first sentence of its comment, and the settings of the chosen option."""
    lines = [f"{name}" if chosen else f"+{name}=..."]
    files = sorted((CONF / name).glob("*.yaml"))
    options = [(f"{'*' if file.stem == chosen else ' '} {file.stem}", _first_sentence(_about(file))) for file in files]
    lines += [f"  {line}" for line in aligned(options, "ll")]
    for folder in sorted(path for path in (CONF / name).iterdir() if path.is_dir()):
        below = ", ".join(sorted(file.stem for file in folder.glob("*.yaml")))
        lines.append(f"    {name}/{folder.name}= {below}")
    if chosen:
        lines += [f"      {line}" for line in _settings(CONF / name / f"{chosen}.yaml")]
    return "\n".join(lines)


def _first_sentence(text: str) -> str:
    return re.split(r"(?<!\bet al)\. ", text, maxsplit=1)[0].rstrip(".")


def _about(file: Path) -> str:
    """The comment at the top of a configuration file."""
    lines = file.read_text(encoding="utf-8").splitlines()
    head = [line for line in lines if not line.startswith("# @package")]
    comment = []
    for line in head:
        if not line.startswith("#"):
            break
        comment.append(line.lstrip("# "))
    return " ".join(comment)


def _own_settings(schema: type[Any], indent: str = "") -> list[str]:
    """Describe the settings of a schema, with defaults and meanings, but not its groups, which `_group` describes."""
    rows: list[tuple[str, str]] = []
    hints = annotations_of(schema)
    for field in dataclasses.fields(schema):
        made = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        if dataclasses.is_dataclass(made):
            rows.append((f"{indent}{field.name}:", (type(made).__doc__ or "").splitlines()[0].rstrip(".")))
            rows += [(line, "") for line in _own_settings(type(made), indent + "  ")]
        elif not is_group(hints[field.name]):
            shown = made if isinstance(made, (list, str)) else json.dumps(made)
            rows.append((f"{indent}{field.name}: {shown}", meaning(hints[field.name])))
    width = max((len(line) for line, about in rows if about), default=0)
    return [f"{line:<{width}}  # {about}" if about else line for line, about in rows]


def _settings(file: Path) -> list[str]:
    """The lines of a configuration file that set a value, with the comments on these lines."""
    lines, inside = [], ""
    for line in file.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith((" ", "#")):
            inside = line.split(":")[0]
        said = line.strip() and not line.startswith("#") and "_target_" not in line
        if said and inside not in ("defaults", "hydra"):
            lines.append(line)
    return lines
