"""Makes the text of `--help`, `--help GROUP` and `--help GROUP/OPTION` from conf/.

The first line of an option's file describes the option.
"""

from __future__ import annotations

import dataclasses
import json
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lm.cli.program import program
from lm.config.compose import default_options
from lm.config.conf_folder import CONF
from lm.config.schemas import SCHEMAS
from lm.config.setting_types import is_group, meaning
from lm.config.unknown_key import did_you_mean
from lm.system.bounds import annotations_of
from lm.system.errors import UserError
from lm.system.terminal import aligned

EXAMPLES = {
    "train": """\
  python train.py +experiment=quickstart                   a minute of training on text inside Python
  python train.py data=text data.train=book.txt            your own text; a single file is split
  python train.py model.num_layers=2 optim=sgd             a larger model, another optimiser
  python train.py -m forcing=teacher,free_running seed=1,2 a sweep: every combination, a table at the end
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
  python scripts/compare.py runs=[multirun/2026-01-31/12-00-00] perplexities=[200,150]
  python scripts/compare.py runs=[runs/sweep] brief=true table=runs.csv curves=curves.csv""",
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


def help_text(root: str, topics: Sequence[str] = ()) -> str:
    """The help text of the command whose root file is conf/`root`.yaml, or of its groups and options named in `topics`.

    Raises UserError for a topic that the command does not have.
    """
    if topics:
        return "\n\n".join(_topic(root, topic.replace("=", "/").strip("+/")) for topic in topics)
    file, typed = CONF / f"{root}.yaml", "python train.py" if root == "train" else f"python scripts/{root}.py"
    parts = [_about(file), f"Examples:\n{EXAMPLES[root].replace(typed, program(root))}"]
    if groups := _groups_of(root):
        lines = [line for name, chosen in groups.items() for line in _options(name, chosen)]
        head = "Groups (group=option, * the default); more with --help GROUP and --help GROUP/OPTION:"
        parts.append("\n".join([head, *lines]))
    settings = "\n".join(f"  {line}" for line in [*_own_settings(SCHEMAS[root]), *_settings(file)])
    parts.append(f"Settings outside groups:\n{settings}")
    parts.append("--cfg job prints the configuration without running it; --hydra-help describes Hydra's own options.")
    return "\n\n".join(parts)


def _groups_of(root: str) -> dict[str, str | None]:
    """The groups of a command, each with its default option, and those inside them."""
    found: dict[str, str | None] = {}
    for name, option in default_options(root).items():
        found[name] = option
        inner = sorted(path.name for path in (CONF / name).iterdir() if path.is_dir())
        found |= {f"{name}/{folder}": _inner_default(CONF / name / f"{option}.yaml", folder) for folder in inner}
    return found | (dict.fromkeys(("experiment", "sweep")) if root == "train" else {})


def _inner_default(file: Path, folder: str) -> str | None:
    """The option of an inner group that an option's file chooses."""
    chosen = re.search(rf"^  - {folder}: (\S+)", file.read_text(encoding="utf-8"), re.MULTILINE)
    return chosen[1] if chosen and chosen[1] != "null" else None


def _options(name: str, chosen: str | None) -> list[str]:
    """The names of a group's options, in lines of at most 79 characters."""
    names = [file.stem + "*" * (file.stem == chosen) for file in sorted((CONF / name).glob("*.yaml"))]
    head = f"  {'+' if name in ('experiment', 'sweep') else ''}{name}="
    return textwrap.wrap(" ".join(names), 79, initial_indent=f"{head:<20} ", subsequent_indent=" " * 21)


def _topic(root: str, topic: str) -> str:
    """The help text of a group, with what each option does, or of an option, with all its settings."""
    groups = _groups_of(root)
    if topic in groups:
        return _group(topic, groups[topic])
    group, _, option = topic.rpartition("/")
    file = CONF / group / f"{option}.yaml"
    if group not in groups or not file.is_file():
        known = sorted(path.stem for path in (CONF / group).glob("*.yaml")) if group in groups else [*groups]
        raise UserError(f"--help {topic}: there is no such group or option. {did_you_mean(option or topic, known)}")
    settings = [f"  {line}" for line in _settings(file)] or ["  no settings"]
    return "\n".join([f"{group}={option}", *textwrap.wrap(_about(file), 79), *settings])


def _group(name: str, chosen: str | None) -> str:
    """Describe a group: each option with the first sentence of its comment, and the settings of the chosen option."""
    lines = [f"+{name}=..." if name in ("experiment", "sweep") else name]
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
