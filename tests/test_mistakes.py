"""Each mistake gives one sentence with cause and remedy, exit code 1, and no stack trace."""

from __future__ import annotations

import errno
import json
import math
import os
import pickle
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from conftest import TINY, Done, Run, configure, needs_ptb

from lm.cli.help import help_text
from lm.commands.train import train as start_training
from lm.runs.trained import load
from lm.system.errors import UserError

ROOT = Path(__file__).parent.parent
Cli = Callable[..., str]
Train = Callable[..., Run]
Monkey = pytest.MonkeyPatch


@pytest.fixture
def cli(call: Callable[..., Done], tmp_path: Path) -> Cli:
    """Run a command that fails; returns the one line on standard error that says why."""

    def run(*arguments: str, root: str = "train", code: int = 1) -> str:
        elsewhere = root != "train" or any("hydra.run.dir" in argument for argument in arguments)
        done = call(root, *arguments, *([] if elsewhere else [f"hydra.run.dir={tmp_path}/r"]))
        assert done.code == code, done
        assert "Traceback" not in done.err
        (line,) = [line for line in done.err.splitlines() if line.startswith("error: ")]
        return line

    return run


@pytest.fixture
def small(text_file: Path) -> list[str]:
    return ["data=text", f"data.train={text_file}", *TINY, "trainer.limit_train_batches=2"]


def failure(tmp_path: Path) -> str:
    result = json.loads((tmp_path / "r" / "result.json").read_text())
    assert result["status"] == "failed"
    return result["error"]


@pytest.mark.parametrize(
    ("arguments", "name", "remedy"),
    [
        (["model.hiden_size=3"], "hiden_size", "Did you mean hidden_size?"),
        (["trainer.max_epoch=3"], "trainer.max_epoch", "Did you mean max_epochs?"),
        (["callbacks.checkpoint.every_n_window=3"], "every_n_window", "Did you mean every_n_windows?"),
        (["tbptt.window=3"], "tbptt.window", "Did you mean windows?"),
        (["+sampler.topk=3"], "sampler.topk", "Did you mean top_k?"),
        (["sed=3"], "sed", "Did you mean seed?"),
        (["modle=lstm"], "modle", "Did you mean model?"),
        (["+modle=lstm"], "modle", "Did you mean model?"),
        (["+experiment=no_ft"], "experiment=no_ft", "Did you mean no_tf?"),
        (["+sweep=teachr_forcing"], "sweep=teachr_forcing", "Did you mean teacher_forcing?"),
        (["sampler=gredy"], "sampler=gredy", "Did you mean greedy?"),
        (["optim/schedule=cosin"], "optim/schedule=cosin", "Did you mean cosine?"),
        (["quickstart"], "quickstart", "+experiment=quickstart"),
        (["model.hidden_size"], "model.hidden_size", "key=value"),
        (["seed=x"], "seed", "a whole number; got 'x'"),
        (["model.hidden_size=big"], "model.hidden_size", "a whole number or null; got 'big'"),
        (["model.tied=maybe"], "model.tied", "true or false; got 'maybe'"),
        (["forcing.feedback=argmin"], "forcing.feedback", "one of truth, argmax, sample"),
        (["data=text"], "data.train", "data.train=..."),
        (["data.batch_size=1,2"], "data.batch_size", "-m"),
        (["experiment=no_tf"], "experiment", "+experiment=NAME"),
        (["modle.hidden_size=3"], "modle", "Did you mean model.hidden_size=3?"),
        (["forcing/decay=linear"], "forcing/decay", "another option of forcing"),
        (["optim.schedule=cosine"], "optim.schedule", "optim/schedule=cosine"),
        (["+experiment=awd_lstm_finetune", "data=pydoc"], "weights_from", "weights_from=PATH"),
        (["optim.betas=[0.9]"], "optim.betas", "a list of 2"),
        (["~seed"], "seed", "--help"),
        (["hydra.run.dir="], "hydra.run.dir", "hydra.run.dir=DIR"),
        (["+trainer.gradient_clip_val=1"], "trainer.gradient_clip_val", "optim.clip"),
        (["accelerator.devices=0"], "accelerator.devices", "a number of devices"),
        (["accelerator=cpu", "accelerator.devices=auto"], "accelerator.devices", "say how many"),
        (["accelerator.devices=2", "data.batch_size=5"], "data.batch_size", "multiple of 2"),
        (["accelerator.nodes=2"], "accelerator.nodes", "torchrun"),
        (["accelerator.devices=2", "accelerator.strategy=fsdp"], "accelerator.strategy", "ddp"),
        (["accelerator.devices=[1]"], "accelerator.devices", "CUDA_VISIBLE_DEVICES=1"),
        (["+trainer.num_nodes=2"], "trainer.num_nodes", "accelerator.nodes"),
        (["trainer.max_epochs=null"], "trainer.max_epochs", "trainer.max_time"),
        (["trainer.check_val_every_n_epoch=0"], "trainer.check_val_every_n_epoch", "at least 1"),
        (["optim.clip=nan", "data=synthetic"], "optim.clip", "finite"),
        (["optim.betas=[0.9,nan]"], "optim.betas", "finite"),
        (["sampler.temperature=nan"], "sampler.temperature", "finite"),
        (["regularisation.activation=nan", "data=synthetic"], "regularisation.activation", "finite"),
        (["data.batch_size=99999999999999999999"], "data.batch_size", "64 bits"),
        (["data=synthetic", "data.source_seed=-1"], "source_seed", "at least 0; got -1"),
        (["data=synthetic", "model.hidden_size=1000000000000000"], "out of memory", "lower"),
        (["optim.betas=[0.9,1.0]", "data=synthetic"], "optim.betas", "each at least 0 and below 1"),
        (["optim/average=stalled", "optim.average.latest=0", "data=synthetic"], "optim.average.latest", "at least 1"),
        (["data=pydoc", "sampler.bad_words=[zebra-word]"], "sampler.bad_words", "zebra-word"),
        (["accelerator.precision=16-mixed", "data=pydoc"], "16-mixed", "32-true"),
        (["trainer.limit_train_batches=1.5", "data=pydoc"], "limit_train_batches", "trainer"),
        (["accelerator.precision=64bit", "data=pydoc"], "64bit", "Allowed"),
        (["accelerator.precision=int8", "data=pydoc"], "int8", "scripts/sample.py"),
        (["accelerator.recurrence=cudnn", "data=pydoc"], "accelerator.recurrence", "one of auto, own, onednn"),
        (["+experiment=quickstart", "+experiment=no_tf"], "experiment is given twice", "choose one"),
        (["trainer.max_time=10"], "trainer.max_time", "DD:HH:MM:SS"),
        (["model=gru"], "model=gru", "model/cell=gru"),
        (["model=qrnn"], "model=qrnn", "model/cell=qrnn"),
        (["+experiment=cpu_hour", "model/cell=gru"], "model.cell.forget_bias", "~model.cell.forget_bias"),
        (["+experiment=cpu_hour", "model=transformer"], "model.embedding_dropout", "~model.embedding_dropout"),
        (["model/cell=min_gru", "model.cell.weight_dropout=0.5"], "weight_dropout of model.cell", "model/cell=gru"),
        (["model=transformer", "model/cell=gru"], "model/cell", "another option of model"),
        (["model=awd_lstm", "model.dropout=0.3", "data=synthetic"], "model.dropout=0.3", "model.input_dropout"),
        (["model=transformer", "model.heads=3", "data=synthetic"], "model.hidden_size", "multiple of"),
        (["model.weights=9999", "data=synthetic"], "model.weights", "the other to null"),
        (["model.hidden_size=null", "data=synthetic"], "model.hidden_size", "got neither"),
        (["model.hidden_size=null", "model.weights=99", "data=synthetic"], "model.weights=99", "raise it"),
        (["model.tied=true", "model.last_size=null", "data=synthetic"], "model.hidden_size=1024", "has no effect"),
        (["model=null"], "model=null", "one of the group's options"),
        (["optim/average=null"], "optim/average=null", "optim.average=null"),
        (["optim/scheduler=cosine"], "optim/scheduler", "Did you mean optim/schedule=cosine?"),
        (["model/hed=softmax"], "model/hed", "Did you mean model/head?"),
        (["trainer.profile=yes please"], "trainer.profile", "true or false"),
    ],
)  # fmt: skip
def test_configuration(cli: Cli, arguments: list[str], name: str, remedy: str) -> None:
    line = cli(*arguments)
    assert name in line
    assert remedy in line


MISTAKES = r"""
# Options as other programs have them
train --experiment quickstart                       | --experiment quickstart | Did you mean +experiment=quickstart?
train --experiment=quickstart                       | --experiment=quickstart | Did you mean +experiment=quickstart?
train --sweep teacher_forcing                       | --sweep       | Did you mean +sweep=teacher_forcing?
train --seed 1                                      | --seed 1      | Did you mean seed=1?
train --seed=1                                      | --seed=1      | Did you mean seed=1?
train -seed 1                                       | -seed 1       | Did you mean seed=1?
train --lr 0.1                                      | --lr 0.1      | Did you mean optim.lr=0.1?
train -lr 0.1                                       | -lr 0.1       | Did you mean optim.lr=0.1?
train --optim.lr 0.1                                | --optim.lr    | Did you mean optim.lr=0.1?
train --epochs 40                                   | --epochs 40   | Did you mean trainer.max_epochs=40?
train --bptt 35                                     | --bptt 35     | Did you mean data.window=35?
train --nhid 200                                    | --nhid 200    | Did you mean model.hidden_size=200?
train --emsize 200                                  | --emsize 200  | Did you mean model.embedding_size=200?
train --nlayers 2                                   | --nlayers 2   | Did you mean model.num_layers=2?
train --batch-size 20                               | --batch-size  | Did you mean data.batch_size=20?
train --dropout 0.5 --cuda                          | --dropout 0.5 | Did you mean model.dropout=0.5?
train --cuda                                        | --cuda        | Did you mean accelerator=gpu?
train --data ./ptb                                  | --data ./ptb  | |ptb|ptb_characters|pydoc|
train --multi seed=1,2                              | --multi       | Did you mean --multirun?
train --config_dir .                                | --config_dir  | Did you mean --config-dir?
train --cfg everything                              | everything    | 'job', 'hydra', 'all'
train --resolve seed=1                              | --resolve     | --cfg
evaluate --checkpoint run                           | --checkpoint  | Did you mean checkpoint=run?
sample --prompt the                                 | --prompt the  | Did you mean prompt=the?
distance --neighbors 3                              | --neighbors 3 | Did you mean neighbours=3?
compare --runs run                                  | --runs run    | Did you mean runs=run?
benchmark --hidden_size 9                           | --hidden_size | Did you mean sizes.hidden_size=9?
tbptt --batch_size 9                                | --batch_size  | Did you mean sizes.batch_size=9?
train lr=0.1                                        | lr            | Did you mean optim.lr=0.1?
train learning_rate=0.1                             | learning_rate | Did you mean optim.lr=0.1?
train epochs=3                                      | epochs        | Did you mean trainer.max_epochs=3?
train max_epochs=3                                  | max_epochs    | Did you mean trainer.max_epochs=3?
train hidden_size=64                                | hidden_size   | Did you mean model.hidden_size=64?
train hidden_dim=64                                 | hidden_dim    | Did you mean model.hidden_size=64?
train embedding_dim=64                              | embedding_dim | Did you mean model.embedding_size=64?
train n_layers=2                                    | n_layers      | Did you mean model.num_layers=2?
train seq_len=35                                    | seq_len       | Did you mean data.window=35?
train device=cuda                                   | device        | Did you mean accelerator=gpu?
train device=cpu                                    | device        | Did you mean accelerator=cpu?
train gpus=1                                        | gpus          | Did you mean accelerator=gpu?
train num_workers=4                                 | num_workers   | Choose from: accelerator, callbacks
train optimizer=sgd                                 | optimizer     | Did you mean optim=sgd?
train scheduler=cosine                              | scheduler     | Did you mean optim/schedule=cosine?
train momentum=0.9                                  | momentum      | optim=sgd have it
train teacher_forcing=false                         | teacher_forcing | Did you mean forcing=free_running|sampled
train resume=run                                    | resume        | Did you mean checkpoint=run?
train output_dir=here                               | output_dir    | Did you mean hydra.run.dir=here?
train tbptt_windows=2                               | tbptt_windows | Did you mean tbptt.windows=2?
sample temperature=0.5                              | temperature   | Did you mean sampler.temperature=0.5?
sample length=10                                    | length        | Did you mean sampler.max_new_tokens=10?
sample text=the                                     | text          | Did you mean prompt=the?
evaluate temperature=2                              | temperature   | Did you mean evaluator.temperature=2?

# Settings and options in the wrong place
train model.lr=0.1                                  | model.lr      | Did you mean optim.lr=0.1?
train training.batch_size=4                         | training      | Did you mean data.batch_size=4?
train data.train=book.txt                           | data.train    | data=text has it: data=text data.train=book.txt
train data=book.txt                                 | data=book.txt | data=text data.train=book.txt
train data=./my/book.txt                            | ./my/book.txt | data=text data.train=./my/book.txt
train book.txt                                      | book.txt      | data=text data.train=book.txt
train run                                           | run           | checkpoint=run
train lstm                                          | lstm          | model=lstm
train model/lstm                                    | model/lstm    | model=lstm
train +experiment                                   | +experiment   | +experiment=NAME
train forcing=[teacher,free_running]                | forcing=[     | -m forcing=teacher,free_running
train data=text,pydoc                               | data=text,pydoc | -m
train free_running=false                            | free_running  | free_running=null
train tbptt=2                                       | tbptt         | tbptt.windows=
train model=LSTM                                    | model=LSTM    | Did you mean lstm?
train accelerator=cuda                              | accelerator=cuda | auto, cpu, ddp, gpu, mps
train accelerator=1                                 | accelerator=1 | auto, cpu, ddp, gpu, mps
train hydra.rundir=here                             | hydra.rundir  | Did you mean hydra.run.dir=here?
train ~callbacks.projecter                          | ~callbacks.projecter | Did you mean ~callbacks.projector?
train +seed=1                                       | +seed         | seed=1
train +foo=1                                        | foo           | Choose from: accelerator
train +lr=0.1                                       | lr            | Did you mean optim.lr
train +tbptt.foo=1                                  | tbptt.foo     | Choose from: random_length, reset, windows
train +free_running.foo=1                           | free_running.foo | Choose from: limit, streams
train +accelerator.foo=1                            | accelerator.foo | Choose from: accelerator, devices
sample +foo=1                                       | foo           | Choose from: accelerator, checkpoint
sample +data.test=book.txt                          | data          | Choose from: accelerator, checkpoint
sample +accelerator.precison=int8                   | accelerator.precison | Did you mean precision?
evaluate +foo=1                                     | foo           | Choose from: accelerator, adapted
evaluate +data.tset=book.txt                        | data.tset     | Did you mean data.test=...?
evaluate model.hidden_size=3                        | model.hidden_size | Choose from: accelerator, adapted
evaluate data=ptb                                   | data          | data.test=
evaluate evaluator.theta=auto                       | evaluator.theta | evaluator=cache evaluator.theta=auto
evaluate +sampler=greedy                            | sampler       | Choose from: accelerator, evaluator
evaluate +experiment=quickstart                     | +experiment=quickstart | only train.py
evaluate run                                        | run           | checkpoint=run
sample run prompt=the                               | run           | checkpoint=run
sample greedy                                       | greedy        | sampler=greedy
distance +model.hidden_size=9                       | model         | Choose from: checkpoint
distance accelerator=cpu                            | accelerator   | Choose from: checkpoint
distance run words=[the,no]                         | run           | checkpoint=run
compare run several/b                               | run           | runs=[run,several/b]
compare runs=[run] +foo=1                           | foo           | Choose from: accelerator
benchmark +foo=1                                    | foo           | Choose from: accelerator, dry
benchmark +sizes.foo=1 sections=[reading]           | sizes.foo     | Choose from: batch_size
tbptt +foo=1                                        | foo           | Choose from: accelerator, checkpoint
tbptt run                                           | run           | checkpoint=run

# Quotes, spaces and other signs
train "'seed=1'"                                    | 'seed=1'      | leave them out
train “seed=1”                                      | “seed=1”      | "seed=1"
train seed=“1”                                      | seed=“1”      | type it as "
train –m seed=1,2                                   | –m            | as in -m
train —multirun seed=1,2                            | —multirun     | as in --multirun
train seed=1 ''                                     | empty         | variable
train seed = 1                                      | seed =        | seed=1
train seed= 1                                       | seed= 1       | seed=1
train seed =1                                       | seed =1       | seed=1
train 'seed = 1'                                    | seed = 1      | seed=1
train seed:1                                        | seed:1        | seed=1
train seed==1                                       | seed==1       | seed=1
train seed=1, optim.lr=0.1                          | seed=1,       | leave out the ,
train 'seed=1;'                                     | seed=1;       | leave out the ;
train seed=1,2                                      | seed=1,2      | -m
train optim.lr=0,001                                | optim.lr=0,001 | optim.lr=0.001
train optim.lr 0.1                                  | optim.lr      | optim.lr=0.1
train optim.lr -0.1                                 | optim.lr      | optim.lr=-0.1
train optim.betas=(0.9,0.99)                        | optim.betas   | optim.betas=[0.9,0.99]
train optim.betas=[0.9,0.99                         | optim.betas   | the list does not end
train seed=null                                     | seed          | must not be null
train hydra.run.dir=                                | hydra.run.dir | hydra.run.dir=DIR
train data=text data.train=                         | data.train    | is empty; name a file
sample checkpoint=run prompt=the company            | company       | "prompt=the company"
sample checkpoint=run prompt="'the" "company'"      | company'      | "prompt=the company"
sample checkpoint=run prompt=“the                   | “the          | Did you mean the?
sample checkpoint=run prompt='"the company"'        | "the          | Did you mean the, company?
sample checkpoint=run prompt=null                   | 'null'        | Write <unk>
sample checkpoint=run prompt=???                    | '???'         | Write <unk>
evaluate checkpoint = run                           | checkpoint =  | checkpoint=run
evaluate checkpoint=                                | checkpoint    | is empty; name a file
evaluate checkpoint=null                            | checkpoint    | must not be null
evaluate checkpoint=run text the company            | text          | "text=the company"
evaluate split=[train,valid]                        | split         | one text; got '[train,valid]'
evaluate split=train,valid                          | split         | -m
distance words=[the company]                        | company]      | "words=[the company]"
distance words=the,company                          | words         | "words=[the,company]"
distance "words='[the,company]'"                    | words         | "words=[the,company]"
compare runs=run                                    | runs          | "runs=[run]"
compare runs=[run] perplexities=[a]                 | perplexities  | each of its entries a number; got [a]
benchmark sections=reading                          | sections      | sections=[reading

# Files and folders
train data=text data.train=nothing                  | nothing       | name a text file
train data=text data.train=picture.png              | picture.png   | plain UTF-8
train data=text data.train=utf16.txt                | utf16.txt     | plain UTF-8
train data=text data.train=book.txt data.valid=book.txt | data.test | give all three
train weights_from=nothing data=text data.train=book.txt | nothing  | name a checkpoint file
train checkpoint=several                            | several       | checkpoint=several/a
train checkpoint=nothing                            | nothing       | name a checkpoint file
train hydra.run.dir=book.txt                        | book.txt      | another folder
train hydra.run.dir=run data=text data.train=book.txt | run         | checkpoint=last
sample checkpoint=missing                           | missing       | name a checkpoint file
sample checkpoint=weights.pt                        | weights.pt    | name another
sample checkpoint=text.zip                          | text.zip      | name another
sample checkpoint=run prompt_file=picture.png       | picture.png   | plain UTF-8
distance checkpoint=several words=[a,b]                 | several       | checkpoint=several/a
evaluate checkpoint=nothing                         | nothing       | name a checkpoint file
evaluate checkpoint=picture.png                     | picture.png   | name another
evaluate checkpoint=run/result.json                 | result.json   | name another
evaluate checkpoint=last                            | checkpoint=last | checkpoint=PATH
evaluate checkpoint=run text_file=missing.txt       | missing.txt   | check the name
evaluate checkpoint=run text_file=nothing           | nothing       | check the name
evaluate checkpoint=run text_file=utf16.txt         | utf16.txt     | plain UTF-8
evaluate checkpoint=run text_file=latin1.txt        | latin1.txt    | iconv
evaluate checkpoint=run out=nothing                 | nothing       | name a file
evaluate checkpoint=run per_token=book.txt/nats.tsv | book.txt/nats.tsv | another file
distance checkpoint=run words_file=missing.txt      | missing.txt   | check the name
compare                                             | runs          | runs=[DIR,DIR]
compare runs=[missing]                              | missing       | name a run's folder
compare runs=[nothing]                              | nothing       | name a run's folder
compare runs=[book.txt]                             | book.txt      | name a run's folder
compare runs=[run] out=book.txt                     | book.txt      | name a folder
benchmark out=nothing sections=[reading]            | nothing       | name a file
tbptt checkpoint=picture.png out=report             | picture.png   | name another
tbptt out=book.txt                                  | book.txt      | name a folder

# Values that cannot be, and combinations
train model.dropout=50% data=text data.train=book.txt | model.dropout | a number
train data=text data.train=book.txt data.fractions=[0.9,0.9,0.9] | data.fractions | add up to 1
train data=text data.train=book.txt model.tied=true | model.tied    | must be equal
train weights_from=run init=unigram data=text data.train=book.txt | weights_from | init=random
train forcing=teacher forcing/decay=linear          | forcing/decay | another option of forcing
train checkpoint=run model.hidden_size=3            | model.hidden_size | leave out
sample checkpoint=run prompt=zebra                  | 'zebra'       | Write <unk>
sample checkpoint=run prompt=The                    | 'The'         | Did you mean the?
sample checkpoint=run sampler.bad_words=[zebra]     | zebra         | sampler.bad_words
sample checkpoint=run sampler.bad_words=zebra       | sampler.bad_words | "sampler.bad_words=[zebra]"
sample checkpoint=run sampler=beem | sampler=beem | Did you mean beam?
sample checkpoint=run sampler.top_p=1.5             | sampler.top_p | at most 1; got 1.5
sample checkpoint=run seed=-1                       | seed          | got -1
evaluate checkpoint=run split=validation            | split=validation | Did you mean valid?
evaluate checkpoint=run text=                       | text          | give at least one word
evaluate checkpoint=run text=the text_file=book.txt | text_file     | choose one
evaluate checkpoint=run evaluator=cache evaluator.weight=2 | evaluator.weight | between 0 and 1
evaluate checkpoint=run accelerator.precision=16    | accelerator.precision=16 | 32-true
distance checkpoint=run                             | words         | words=[army,taxpayer]
distance checkpoint=run words=[the]                 | words         | two or more
distance checkpoint=run words=[the,armi]            | 'armi'        | Did you mean army?
distance checkpoint=run words=[the,no] words_file=book.txt | words_file | choose one
distance checkpoint=run words=[the,no] neighbours=-1 | neighbours   | at least 0; got -1
compare runs=[run] confidence=95                    | confidence    | below 1; got 95
compare runs=[run] words=[the]                      | words         | two or more
benchmark sections=[speed]                          | sections=speed | Choose from: cells
benchmark rounds=0                                  | rounds        | at least 1; got 0
benchmark accelerator=gpu sections=[reading]        | sections      | leave them out
tbptt windows=4                                     | windows       | windows=[4
tbptt windows=[0]                                   | windows       | at least 1; got 0
"""  # noqa: RUF001
"""Command line, as a shell reads it | what the sentence names | what it says to do."""


def rows(table: str) -> list[tuple[str, str, str]]:
    found = [line for line in table.splitlines() if line and not line.startswith("#")]
    parts = [[part.strip() for part in line.split(" | ")] for line in found]
    return [(typed, name, remedy) for typed, name, remedy in parts]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, a folder of runs, a text, and files and folders of wrong kinds."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "book.txt").write_text("the company said no .\nthe army said <unk> .\n" * 100)
    (folder / "nothing").mkdir()
    (folder / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(200))
    (folder / "utf16.txt").write_text("the company said no .\n" * 60, encoding="utf-16")
    (folder / "latin1.txt").write_bytes("das Gesch\u00e4ft\n".encode("latin-1") * 60)
    with zipfile.ZipFile(folder / "text.zip", "w") as archive:
        archive.writestr("book.txt", "the company said no .\n" * 60)
    torch.save({"weight": torch.zeros(2)}, folder / "weights.pt")
    (folder / "run").mkdir()
    start_training(configure("train", "data=text", f"data.train={folder}/book.txt", *TINY), folder / "run")
    for name in ("a", "b"):
        shutil.copytree(folder / "run", folder / "several" / name)
    return folder


@pytest.mark.parametrize(("typed", "name", "remedy"), rows(MISTAKES))
def test_a_students_mistake(
    call: Callable[..., Done], desk: Path, typed: str, name: str, remedy: str, tmp_path: Path, monkeypatch: Monkey
) -> None:
    monkeypatch.chdir(desk)
    root, *arguments = shlex.split(typed)
    if root == "train" and not any(part in typed for part in ("hydra.run.dir", "checkpoint=", "-m ")):
        arguments.append(f"hydra.run.dir={tmp_path}/r")
    done = call(root, *arguments)
    assert done.code == 1, done
    assert "Traceback" not in done.err
    (line,) = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert name in line
    assert remedy in line


def test_hydras_options_are_told_from_settings(call: Callable[..., Done]) -> None:
    done = call("train", "seed=3", "--cfg", "job", "data=synthetic")
    assert done.code == 0
    assert "seed: 3" in done.out


@pytest.mark.parametrize(
    ("arguments", "name", "remedy"),
    [
        (["checkpoint=last"], "checkpoint=last", "hydra.run.dir=DIR"),
        (["checkpoint=conf"], "conf holds no checkpoint", "the folder of a run"),
        (["--modle=3"], "--modle=3", "without dashes"),
    ],
)
def test_what_is_refused_before_a_folder_is_made(arguments: list[str], name: str, remedy: str) -> None:
    """Without the fixture's folder, which would hide that no folder is named."""
    before = sorted((ROOT / "conf").rglob("*"))
    done = subprocess.run([sys.executable, "train.py", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("error: ")
    assert name in line
    assert remedy in line
    assert sorted((ROOT / "conf").rglob("*")) == before


@pytest.mark.parametrize(
    "setting",
    [
        "model.hidden_size=0", "model.embedding_size=-5", "model.num_layers=0", "data.batch_size=0", "data.window=-1",
        "data.eval_window=0", "data.vocab_size=1", "data.min_count=0", "trainer.max_epochs=0",
        "trainer.log_every_n_steps=0", "tbptt.windows=0", "sampler.max_new_tokens=0", "optim.lr=0", "optim.clip=-1",
        "callbacks.checkpoint.every_n_windows=-1", "free_running.streams=0", "free_running.limit=0",
        "seed=-1", "seed=99999999999",
        "tbptt.reset=2", "regularisation.activation=-1", "optim.eps=-1.0",
        "trainer.limit_train_batches=0",
    ],
)  # fmt: skip
def test_sizes_that_cannot_be(cli: Cli, small: list[str], setting: str, tmp_path: Path) -> None:
    key, value = setting.split("=")
    line = cli(*small, setting)
    assert key in line
    assert f"got {value}" in line
    assert failure(tmp_path) in line


@pytest.mark.parametrize(
    ("content", "remedy"),
    [
        (None, "name a text file"),
        (b"", "name a file that contains text"),
        (b"PK\x03\x04\x00\x00", "plain UTF-8"),
        (b"na\xefve words\n" * 99, "iconv"),
        (b"one\n" * 500, "different word"),
        (b"a b\n", "too few"),
    ],
)
def test_data_files(cli: Cli, content: bytes | None, remedy: str, tmp_path: Path) -> None:
    path = tmp_path / "corpus.txt"
    if content is not None:
        path.write_bytes(content)
    line = cli("data=text", f"data.train={path}", *TINY)
    assert remedy in line
    assert str(path) in line or remedy == "different word"
    assert failure(tmp_path) in line


def test_a_split_shorter_than_a_window(cli: Cli, small: list[str]) -> None:
    line = cli(*small, "data.window=50000")
    assert "too few for one window of 4 x 50000" in line
    assert "lower data.batch_size or data.window" in line


def test_ptb_that_is_nowhere(cli: Cli, tmp_path: Path, monkeypatch: Monkey) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise ConnectionError

    monkeypatch.setattr("pooch.retrieve", no_network)
    monkeypatch.setenv("LM_DATA_DIR", str(tmp_path))
    line = cli()
    assert str(tmp_path / "ptb/ptb.train.txt") in line
    assert "LM_DATA_DIR" in line
    assert "data=pydoc" in line


@needs_ptb
def test_ptb_that_is_cut_short(cli: Cli, tmp_path: Path, monkeypatch: Monkey) -> None:
    (tmp_path / "ptb").mkdir()
    for split in ("train", "valid", "test"):
        whole = Path(os.environ["LM_DATA_DIR"], "ptb", f"ptb.{split}.txt").read_bytes()
        (tmp_path / "ptb" / f"ptb.{split}.txt").write_bytes(whole[: len(whole) // 2])
    monkeypatch.setenv("LM_DATA_DIR", str(tmp_path))
    line = cli()
    assert str(tmp_path / "ptb/ptb.train.txt") in line
    assert "sha256" in line
    assert "Delete it" in line


class Hostile:
    def __reduce__(self) -> tuple:
        return (os.system, ("touch /tmp/lm-was-here",))


@pytest.mark.parametrize("kind", ["empty", "text", "cut", "hostile", "foreign"])
@pytest.mark.parametrize("root", ["train", "sample"])
def test_checkpoints(cli: Cli, kind: str, root: str, tmp_path: Path, train: Train, small: list[str]) -> None:
    path = tmp_path / "odd.ckpt"
    if kind == "cut":
        whole = (train(*small).dir / "checkpoints/last.ckpt").read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "hostile":
        path.write_bytes(pickle.dumps({"state_dict": Hostile()}))
    elif kind == "foreign":
        torch.save({"state_dict": {}, "epoch": 1}, path)
    else:
        path.write_bytes(b"" if kind == "empty" else b"just some text\n")
    line = cli(f"checkpoint={path}", root=root)
    assert str(path) in line
    assert "name another, or train again" in line
    assert not Path("/tmp/lm-was-here").exists()


@pytest.mark.parametrize("root", ["train", "sample", "evaluate"])
def test_a_checkpoint_with_a_flipped_bit(cli: Cli, root: str, tmp_path: Path, train: Train, small: list[str]) -> None:
    """torch's reader would accept it."""
    path, kept = tmp_path / "odd.ckpt", train(*small).dir / "checkpoints/last.ckpt"
    content = bytearray(kept.read_bytes())
    weights = torch.load(kept)["state_dict"]["model.embedding.weight"].numpy().tobytes()
    content[content.index(weights) + 9] ^= 1
    path.write_bytes(content)
    torch.load(path)
    assert "damaged" in cli(f"checkpoint={path}", root=root)


def test_a_checkpoint_of_a_model_that_diverged(cli: Cli, tmp_path: Path, train: Train, small: list[str]) -> None:
    path, content = tmp_path / "odd.ckpt", torch.load(train(*small).dir / "checkpoints/last.ckpt")
    content["state_dict"]["model.embedding.weight"][0] = torch.nan
    torch.save(content, path)
    for root in ("sample", "evaluate"):
        line = cli(f"checkpoint={path}", root=root)
        assert str(path) in line
        assert "diverged" in line


def test_a_checkpoint_without_the_state_of_its_training(
    cli: Cli, tmp_path: Path, train: Train, small: list[str]
) -> None:
    path, content = tmp_path / "odd.ckpt", torch.load(train(*small).dir / "checkpoints/last.ckpt")
    del content["training"], content["optimizer_states"]
    torch.save(content, path)
    line = cli(f"checkpoint={path}")
    assert "optimizer_states, training" in line
    assert "weights_from=PATH" in line
    load(path)  # the model is complete


@pytest.mark.parametrize(
    ("chosen", "content", "name", "remedy"),
    [
        ("model=mine", "defaults: [lstm]\nhidden_size:3\nnum_layers: 1\n", "model/mine.yaml, line 3", "no valid YAML"),
        ("+experiment=mine", "model: {hidden_size: 3}\n", "experiment/mine.yaml", "# @package _global_"),
        ("+experiment=mine", "# @package _global_\nmodle: {}\n", "experiment/mine.yaml: modle", "Did you mean model?"),
    ],
)
def test_configuration_files(cli: Cli, chosen: str, content: str, name: str, remedy: str, tmp_path: Path) -> None:
    folder = tmp_path / chosen.partition("=")[0].lstrip("+")
    folder.mkdir()
    (folder / "mine.yaml").write_text(content)
    line = cli("--config-dir", str(tmp_path), chosen)
    assert name in line
    assert remedy in line


def test_a_script_that_fails_leaves_no_files(cli: Cli, tmp_path: Path) -> None:
    cli("checkpoint=/nowhere", f"out={tmp_path}/new/figures.json", f"per_token={tmp_path}/tokens.tsv", root="evaluate")
    assert not list(tmp_path.iterdir())


def test_a_file_that_must_not_be_written(cli: Cli, tmp_path: Path, monkeypatch: Monkey) -> None:
    kept = tmp_path / "kept.json"
    kept.write_text("mine")
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != kept)
    line = cli("checkpoint=/nowhere", f"out={kept}", root="evaluate")
    assert line.startswith(f"error: out: cannot write {kept}")


def test_a_checkpoint_that_may_not_be_read_is_not_called_damaged(
    cli: Cli, tmp_path: Path, monkeypatch: Monkey, train: Train, small: list[str]
) -> None:
    path = train(*small).dir / "checkpoints/last.ckpt"

    barred = PermissionError(errno.EACCES, "Permission denied", str(path))
    monkeypatch.setattr("lm.runs.trained.find", Mock(return_value=Mock(open=Mock(side_effect=barred))))
    line = cli(f"checkpoint={path}", root="evaluate")
    assert f"{path}: Permission denied; check the rights" in line


def test_a_checkpoint_whose_weights_are_of_other_sizes(
    cli: Cli, train: Train, small: list[str], tmp_path: Path
) -> None:
    path = train(*small).dir / "checkpoints/last.ckpt"
    content = torch.load(path)
    content["config"]["model"]["embedding_size"] = 25
    torch.save(content, path)
    for root in ("sample", "train"):
        line = cli(f"checkpoint={path}", root=root)
        assert "do not fit" in line
        assert "last.ckpt" in line


def test_a_prompt_with_unknown_words(cli: Cli, train: Train, small: list[str]) -> None:
    line = cli(f"checkpoint={train(*small).dir}", "prompt=w1 zebra w2", root="sample")
    assert "'zebra'" in line
    assert "<unk>" in line


@pytest.mark.parametrize(("root", "precision"), [("sample", "bf16-mixed"), ("evaluate", "int8")])
def test_a_precision_that_a_script_does_not_know(
    cli: Cli, train: Train, small: list[str], root: str, precision: str
) -> None:
    line = cli(f"checkpoint={train(*small).dir}", f"accelerator.precision={precision}", root=root)
    assert f"accelerator.precision={precision}" in line
    assert "32-true" in line


def test_a_text_file_that_cannot_be_read(cli: Cli, train: Train, small: list[str]) -> None:
    line = cli(f"checkpoint={train(*small).dir}", "text_file=/nowhere/at all", root="evaluate")
    assert "/nowhere/at all" in line
    assert "standard input" in line


def test_a_folder_that_cannot_be_written(cli: Cli, small: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    line = cli(*small, f"hydra.run.dir={tmp_path}/file/run")
    assert f"{tmp_path}/file" in line
    assert "another folder" in line


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("iostream error\n")])
def test_a_full_disk_keeps_the_earlier_checkpoint(
    cli: Cli,
    train: Train,
    small: list[str],
    tmp_path: Path,
    monkeypatch: Monkey,
    error: Exception,
) -> None:
    run = train(*small, name="r")
    before = (run.dir / "checkpoints/last.ckpt").read_bytes()

    def half_a_file(self: object, path: Path, **_: object) -> None:
        Path(path).write_bytes(before[:100])
        raise error

    monkeypatch.setattr("pytorch_lightning.Trainer.save_checkpoint", half_a_file)
    line = cli(f"checkpoint={run.dir}", "trainer.max_epochs=2")
    assert str(run.dir / "checkpoints") in line
    assert "free some space" in line
    assert (run.dir / "checkpoints/last.ckpt").read_bytes() == before
    assert {path.name for path in (run.dir / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert "free some space" in failure(tmp_path)


def test_a_loss_that_is_not_finite(cli: Cli, small: list[str], monkeypatch: Monkey, tmp_path: Path) -> None:
    monkeypatch.setattr(
        "lm.models.heads.softmax.SoftmaxHead.nll", lambda *_: torch.full((4, 6), math.nan, requires_grad=True)
    )
    line = cli(*small)
    assert "the loss is nan before the first update" in line
    assert failure(tmp_path) in line


def test_training_that_diverges(cli: Cli, small: list[str]) -> None:
    line = cli(*small, "optim=sgd", "optim.lr=1e30", "optim.clip=0", "trainer.limit_train_batches=1")
    assert "diverged" in line
    assert "lower optim.lr" in line


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a card")
@pytest.mark.parametrize("root", ["train", "sample"])
def test_a_card_that_is_not_there(cli: Cli, train: Train, small: list[str], root: str) -> None:
    arguments = small if root == "train" else [f"checkpoint={train(*small).dir}"]
    line = cli(*arguments, "accelerator=gpu", root=root)
    assert "accelerator=gpu" in line
    assert "accelerator=cpu" in line
    if root == "train":
        assert "accelerator=gpu" in cli(*arguments, "accelerator=ddp", "accelerator.accelerator=gpu")


@pytest.mark.parametrize("setting", ["tbptt.windows=2", "tbptt.random_length=true", "regularisation.temporal=1"])
def test_what_needs_a_window_over_token_updates(setting: str, cli: Cli, small: list[str]) -> None:
    line = cli(*small, setting, "forcing.update=token")
    assert setting.split(".")[0] in line
    assert "forcing.update=window" in line


def test_a_fault_of_ours_shows_where_it_is(
    call: Callable[..., Done], small: list[str], tmp_path: Path, monkeypatch: Monkey
) -> None:
    monkeypatch.setattr("lm.training.prepare.keep_freed_memory", None)
    done = call("train", *small, f"hydra.run.dir={tmp_path}")
    assert done.code == 1
    assert "Traceback" in done.err
    assert "a bug in recurrent-lm" in done.err
    assert "'NoneType' object is not callable" in (tmp_path / "train.log").read_text()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            ValueError("Only one of --run and --cfg"),
            "error: Only one of --run and --cfg; HYDRA_FULL_ERROR=1 shows where",
        ),
        (KeyError("job"), "error: KeyError: 'job'; HYDRA_FULL_ERROR=1 shows where"),
    ],
)
def test_an_error_of_hydra_or_its_plugins_is_not_called_ours(
    call: Callable[..., Done], error: Exception, said: str, monkeypatch: Monkey
) -> None:
    monkeypatch.setattr("hydra._internal.hydra.Hydra.run", Mock(side_effect=error))
    done = call("train")
    assert (done.code, done.err.strip()) == (1, said)


@pytest.mark.parametrize("setting", ["init_scale=-0.1", "init_scale=0.0", "embedding_init=-0.1"])
def test_scales_that_cannot_be(cli: Cli, text_file: Path, setting: str) -> None:
    key, value = setting.split("=")
    line = cli("data=text", f"data.train={text_file}", "model=zaremba", "model.init_scale=null", f"model.{setting}")
    others = {"init_scale": "or null", "embedding_init": "or torch, or null"}
    assert f"model.{key} must be above 0, {others[key]}; got {value}" in line


@pytest.mark.parametrize("root", sorted(path.stem for path in (ROOT / "conf").glob("*.yaml")))
def test_every_command_has_help(root: str) -> None:
    text = help_text(root)
    assert len(text.splitlines()) <= 100
    assert re.search(r"^  \S*python ", text.partition("Examples:")[2], re.MULTILINE)


def groups_and_options() -> list[str]:
    inside = [path.relative_to(ROOT / "conf").with_suffix("") for path in (ROOT / "conf").glob("*/**/*.yaml")]
    topics = {topic.as_posix() for path in inside for topic in (path, path.parent)}
    return sorted(topic for topic in topics if not topic.startswith(("evaluator", "sweep/recurrence")))


@pytest.mark.parametrize("topic", groups_and_options())
def test_every_group_and_option_has_help(topic: str) -> None:
    text = help_text("train", [topic])
    assert text.partition("\n")[0].lstrip("+").replace("=...", "").replace("=", "/") == topic
    assert " et al\n" not in text
    assert help_text("train", [topic.replace("/", "=")]) == text


@pytest.mark.parametrize(("topic", "said"), [("modle", "Did you mean model?"), ("optim/adm", "Did you mean adam?")])
def test_help_on_what_is_not_there(topic: str, said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        help_text("train", [topic])


def test_help_is_quick_and_tells_everything() -> None:
    done = subprocess.run([sys.executable, "train.py", "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    for file in (ROOT / "conf").rglob("*.yaml"):
        if file.parent.name not in ("conf", "evaluator"):
            assert file.stem in done.stdout, file
    assert len(re.findall(r"^  \S*python train\.py", done.stdout, re.MULTILINE)) == 5
    imported = "import sys; sys.argv = ['train.py', '--help']; import runpy\n"
    imported += "try: runpy.run_path('train.py', run_name='__main__')\n"
    imported += "finally: assert not {'torch', 'pytorch_lightning', 'tensorboard'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", imported], cwd=ROOT, capture_output=True, check=True)
