"""Reports of real runs: comparisons, refusals, and a self-contained page."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TINY, Run, configure

from lm.commands.compare import compare
from lm.commands.train import train
from lm.evaluation import Static, evaluate
from lm.runs.result import read_result
from lm.runs.trained import load
from lm.sampling import Sampler, generate
from lm.sampling.generate import first_words
from lm.studies.comparison import drawing_words
from lm.studies.comparison.brief_page import brief_page
from lm.studies.comparison.checkpoint_measures import sample_quality
from lm.studies.comparison.figures import figures
from lm.studies.comparison.groups import names
from lm.studies.comparison.quality import pieces
from lm.studies.comparison.reading import read_runs
from lm.studies.comparison.settings import Settings
from lm.studies.comparison.texts import Text
from lm.studies.page import markdown
from lm.system.errors import UserError
from lm.system.files import write_json

ROOT = Path(__file__).parent.parent
QUICK = ["accelerator=cpu", "resamples=200", "sequences=3", "sample_words=12", "frequent=20", "neighbours=3"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, text_file: Path) -> Path:
    """Runs of one text: two seeds, one without teacher forcing; another vocabulary; one failed, one cut short."""
    root = tmp_path_factory.mktemp("runs")
    base = ["data=text", f"data.train={text_file}", *TINY, "trainer.max_epochs=2", "trainer.limit_train_batches=8"]
    settings = {
        "a1": ["seed=1"],
        "a2": ["seed=2"],
        "free": ["seed=1", "+experiment=no_tf"],
        "other": ["seed=1", "data.vocab_size=20"],
    }
    for name, extra in settings.items():
        (root / name).mkdir()
        train(configure("train", *base, *extra), root / name)
    (root / "failed").mkdir()
    write_json(root / "failed/result.json", {"status": "failed", "error": "no luck", "config": {}})
    (root / "cut" / ".hydra").mkdir(parents=True)
    return root


def report(folder: Path, out: Path, *names: str, **settings: Any) -> dict[str, Any]:
    runs = ",".join(str(folder / name) for name in names)
    compare(configure("compare", f"runs=[{runs}]", f"out={out}", *QUICK, *(f"{k}={v}" for k, v in settings.items())))
    return json.loads((out / "report.json").read_text())


def test_a_report_of_runs_groups_seeds_and_names_its_files(folder: Path, tmp_path: Path) -> None:
    found = report(folder, tmp_path, "a1", "a2", "free")
    assert [row["name"] for row in found["runs"]] == ["a1", "a2", "free"]
    assert [group["runs"] for group in found["groups"]] == [["a1", "a2"], ["free"]]
    for row in found["runs"]:
        result = Run(folder / row["name"]).result
        assert row["test"] == result["test"]
        assert row["nats_per_token"] == pytest.approx(result["test"]["nats"] / result["test"]["tokens"], abs=1e-4)
        assert all(Path(row["files"][key]).is_file() for key in ("result", "checkpoint", "nats"))
        curve = row["curves"]["training"]
        assert curve["tokens"][0] == 0
        assert curve["seconds"] == sorted(curve["seconds"])
    a, free = found["groups"]
    assert free["updates"] == 6 * a["updates"]
    assert free["test"]["low"] is None
    assert a["test"]["low"] < a["test"]["mean"] < a["test"]["high"]
    (difference,) = found["differences"]
    means = [row["nats_per_token"] for row in found["runs"]]
    assert difference["nats"] == pytest.approx(means[2] - (means[0] + means[1]) / 2)
    texts = {row["by"]: row for row in found["samples"] if row["group"] == a["name"]}
    assert list(texts) == ["greedy", *(f"temperature {t}" for t in (0.5, 0.7, 1, 1.3)), "real test text"]
    assert all(row["surprisal"]["mean"] > 0 for row in texts.values())
    assert [row["sequences"] for row in texts.values()] == [6] * 5 + [3]  # real text is the same for both seeds
    assert (tmp_path / "sampling.png").is_file()
    pair = found["runs"][0]["embeddings"]["pairs"][0]
    initial = torch.load(folder / "a1/initial_embedding.pt", weights_only=True)["embedding"]
    assert initial.shape == (41, 16)
    assert pair["cosine"]["initial"] != pair["cosine"]["trained"]
    assert found["agreement"][1]["initial"]["neighbours"] == 1  # the same seed began with the same embedding
    page = (tmp_path / "report.html").read_text()
    assert "two things at once" in page
    assert "6.00 times the updates" in page
    assert found["related"] == []
    assert "Are related words" not in page  # its text has none of the built-in pairs
    assert found["differ"]["forcing.feedback"] == ["truth", "argmax"]
    assert "They differ in " in page
    assert "forcing.feedback (truth / argmax)" in page


def test_a_run_that_is_named_twice_is_compared_once(folder: Path) -> None:
    once, again = read_runs([str(folder)]), read_runs([str(folder / "free"), str(folder), str(folder / "a1/../a1")])
    assert [len(part) for part in again] == [len(part) for part in once]
    assert {run.folder for run in again[0]} == {run.folder for run in once[0]}


def test_runs_in_folders_of_any_name_are_named_by_what_differs(folder: Path) -> None:
    (run, *_), _ = read_runs([str(folder / "a1")])
    size = run.config["model"]["hidden_size"]
    other = replace(
        run, result={**run.result, "overrides": [*(run.result.get("overrides") or []), "model.hidden_size=64"]}
    )
    assert names([[run], [other]]) == [f"hidden_size={size}", "hidden_size=64"]


def test_the_page_needs_nothing_beside_it_and_the_markdown_its_pictures(folder: Path, tmp_path: Path) -> None:
    report(folder, tmp_path, "a1", "free")
    page = (tmp_path / "report.html").read_text()
    addresses = re.findall(r"""(?:src|href|srcset|action)\s*=\s*["']([^"']{0,40})|url\(([^)]{0,40})""", page)
    assert addresses
    assert all(address.startswith(("data:", "#")) for address, other in addresses for address in [address or other])
    assert not re.search(r"<script|<link|@import|https?://", page)
    assert "<unk>" not in page  # text that models wrote is escaped
    text = (tmp_path / "report.md").read_text()
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    assert len(pictures) >= 4
    assert all((tmp_path / name).read_bytes()[:4] == b"\x89PNG" for name in pictures)


def test_settings_with_several_learning_rates_are_compared_each_at_its_best(folder: Path, tmp_path: Path) -> None:
    for name, seed in (("slow1", "a1"), ("slow2", "a2")):  # the same runs, said to be of another rate, and worse
        shutil.copytree(folder / seed, tmp_path / name)
        result = read_result(tmp_path / name)
        result["config"]["optim"]["lr"] = 1e-4
        result["overrides"] = ["optim.lr=0.0001", *result["overrides"]]
        result["valid"] |= {"nats": 9 * result["valid"]["tokens"], "perplexity": math.exp(9)}
        write_json(tmp_path / name / "result.json", result)
    names = [str(folder / name) for name in ("a1", "a2", "free")] + [str(tmp_path / n) for n in ("slow1", "slow2")]
    out = tmp_path / "out"
    compare(configure("compare", f"runs=[{','.join(names)}]", f"out={out}", *QUICK))
    found = json.loads((out / "report.json").read_text())["tuned"]
    assert sorted(row["rates"] for row in found) == [[1e-4, 0.002], [0.002]]
    assert {row["rate"] for row in found} == {0.002}
    page = (out / "report.md").read_text()
    assert "## Which is best, each at its best learning rate?" in page
    assert "Each at its best learning rate: lowest validation perplexity" in page
    assert "0.002 of 0.0001, 0.002" in page
    assert (out / "tuned.png").stat().st_size > 10_000
    compare(configure("compare", f"runs=[{','.join(names)}]", f"out={tmp_path / 'brief'}", *QUICK, "brief=true"))
    assert "- Each at its best learning rate: lowest validation" in (tmp_path / "brief/report.md").read_text()
    assert report(folder, tmp_path / "none", "a1", "a2", "free")["tuned"] == []


def test_a_run_beside_itself_shows_no_difference(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "a1", tmp_path / "copy")
    shutil.copytree(folder / "a1", tmp_path / "a1")
    found = report(tmp_path, tmp_path / "out", "a1", "copy")
    (difference,) = found["differences"]
    assert not difference["shown"]
    assert difference["nats"] == 0
    assert "no difference shown" in (tmp_path / "out/report.html").read_text()
    assert found["agreement"][0]["trained"]["rank_correlation"] == pytest.approx(1)


def test_failed_and_half_written_runs_are_named_and_left_out(folder: Path, tmp_path: Path) -> None:
    found = report(folder, tmp_path, "a1", "failed", "cut")
    assert [Path(job["folder"]).name for job in found["left_out"]] == ["failed", "cut"]
    page = (tmp_path / "report.md").read_text()
    assert "no luck" in page
    assert "cut short" in page
    assert len(found["runs"]) == 1


def test_a_sweeps_folder_stands_for_its_jobs(folder: Path) -> None:
    runs, left_out = read_runs([str(folder)])
    assert {run.name for run in runs} == {"a1", "a2", "free", "other"}
    assert {Path(job.folder).name for job in left_out} == {"failed", "cut"}


def test_other_vocabularies_are_refused_with_the_reason_and_compared_in_the_rest(folder: Path, tmp_path: Path) -> None:
    found = report(folder, tmp_path, "a1", "other")
    assert found["differences"] == []
    refused = {row["figure"]: row for row in found["refused"]}
    for figure in ("the difference on the test text", "agreement of the embeddings"):
        assert "vocabularies differ (41 and 20 words)" in refused[figure]["reason"]
    assert found["perplexities"] == []
    assert all(row["quality"] and row["samples"] and row["curves"]["training"] for row in found["runs"])
    text = (tmp_path / "report.md").read_text()
    assert (
        text.count("which perplexity is lower means nothing unless text and vocabulary are the same".capitalize()) == 2
    )
    assert "Test perplexity when" not in text
    assert (tmp_path / "training-2.png").is_file()


def test_vocabularies_are_not_mixed_up_where_the_text_is_gone(folder: Path, tmp_path: Path) -> None:
    for name in ("a1", "other"):
        shutil.copytree(folder / name, tmp_path / name)
        shutil.rmtree(tmp_path / name / "checkpoints")
    found = report(tmp_path, tmp_path / "out", "a1", "other")
    assert [row["text"] for row in found["runs"]] == [None, None]
    assert "vocabularies differ (41 and 20 words)" in found["incomparable"]
    assert found["perplexities"] == []
    assert "Test perplexity when" not in (tmp_path / "out/report.md").read_text()


def test_different_tokenisers_are_ranked_by_bits_per_byte_and_not_compared_by_token(
    folder: Path, text_file: Path, tmp_path: Path
) -> None:
    settings = [f"data.train={text_file}", *TINY, "trainer.limit_train_batches=8"]
    (tmp_path / "bytes").mkdir()
    train(configure("train", "data=text", "data/tokeniser=bytes", *settings), tmp_path / "bytes")
    for name in ("a1", "other"):
        shutil.copytree(folder / name, tmp_path / name)
    found = report(tmp_path, tmp_path / "out", "bytes", "other", "a1")
    assert [(row["run"], row["tokeniser"], row["ranked"]) for row in found["ranking"]] == [
        ("a1", "whitespace", True), ("bytes", "bytes", True), ("other", "whitespace", False),
    ]  # fmt: skip
    for row in found["ranking"]:
        test = Run(tmp_path / row["run"]).result["test"]
        figures = ("bits_per_byte", "bits_per_character", "perplexity_per_word", "perplexity")
        assert [row[name] for name in figures] == [test[name] for name in figures]
    assert "their tokenisers differ (bytes, whitespace)" in found["incomparable"]
    assert found["differences"] == []
    assert found["perplexities"] == []
    assert found["prompts"]
    assert not any(row["lacking"] for run in found["runs"] for row in run["samples"])
    text = (tmp_path / "out/report.md").read_text()
    assert "whatever their tokens are" in text
    assert "Not ranked: other: " in text
    assert "Figures of runs of different tokenisers cannot be compared" in text
    report(tmp_path, tmp_path / "brief", "bytes", "other", "a1", brief="true")
    assert words_of(tmp_path / "brief") <= 450
    text = (tmp_path / "brief/report.md").read_text()
    assert "Lowest bits per byte of the test text: a1" in text
    assert text.index("| a1 | 1 |") < text.index("| bytes | 1 |") < text.index("| other | 1 |")
    only_words = report(tmp_path, tmp_path / "words", "a1", "other")
    assert only_words["ranking"] == []
    text = (tmp_path / "words/report.md").read_text()
    assert "bits per byte" not in text
    assert "different tokenisers cannot" not in text


def test_every_perplexity_has_the_number_of_its_unknown_tokens(folder: Path, tmp_path: Path) -> None:
    found = report(folder, tmp_path / "out", "a1", "other")
    for row in found["runs"]:
        result = Run(folder / row["name"]).result
        valid, test = result["valid"], result["test"]
        assert row["unknown"] == {
            "train": result["train"]["unknown"],
            "valid": valid["unknown"],
            "valid_free_running": valid["free_running"]["unknown"],
            "test": test["unknown"],
            "test_free_running": test["free_running"]["unknown"],
        }
        group = next(group for group in found["groups"] if row["name"] in group["runs"])
        assert group["test"]["unknown"] == [test["unknown"]]
    assert 0 < test["unknown"] < test["tokens"]  # of the small vocabulary
    share = f"{test['unknown']:,} of {test['tokens']:,} ({test['unknown'] / test['tokens']:.1%})"
    for name in ("report.md", "report.html"):
        assert (tmp_path / "out" / name).read_text().count(share) == 2


def test_a_run_of_an_earlier_version_did_not_count_unknown_tokens(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "a1", tmp_path / "old")
    result = Run(tmp_path / "old").result
    del result["train"]
    for score in (result["valid"], result["test"]):
        del score["unknown"], score["free_running"]["unknown"]
    write_json(tmp_path / "old/result.json", result)
    shutil.copytree(folder / "a2", tmp_path / "a2")
    found = report(tmp_path, tmp_path / "out", "old", "a2")
    assert set(found["runs"][0]["unknown"].values()) == {None}
    assert found["groups"][0]["test"]["unknown"] is None
    assert f"| - of {result['test']['tokens']:,} |" in (tmp_path / "out/report.md").read_text().replace("\\", "")


def test_a_picture_of_runs_with_pairs_of_their_own_names_no_pair_for_all(folder: Path, tmp_path: Path) -> None:
    runs, left_out = read_runs([str(folder / name) for name in ("a1", "free")])
    found = figures(runs, left_out, tmp_path, Settings(resamples=200, sequences=3, sample_words=12, frequent=20))
    first, second = found.runs
    assert " - ".join(first.embeddings.pairs[0].words) in drawing_words.distances(found, 0).alt
    pair, *others = second.embeddings.pairs
    embeddings = replace(second.embeddings, pairs=[replace(pair, words=("x", "y")), *others])
    found = replace(found, runs=[first, replace(second, embeddings=embeddings)])
    assert "each run's own words" in drawing_words.distances(found, 0).alt


def test_each_prompt_is_continued_by_draws_of_its_own(folder: Path, tmp_path: Path) -> None:
    found = report(folder, tmp_path, "a1", "a2", prompts="[w1,w1]")
    one, two = (row["random"] for row in found["runs"][0]["samples"])
    assert one != two


def test_the_surprisal_of_a_text_is_what_the_evaluation_gives_it(folder: Path) -> None:
    """Of a text drawn at another temperature too: it is the model's own, at temperature 1."""
    trained = load(folder / "a1")
    text = Text(trained.vocab, {split: trained.split_ids(split) for split in ("train", "valid", "test")})
    found = sample_quality(trained, text, Settings(sequences=2, sample_words=12, temperatures=[0.5]))

    def mean_nats(rows: np.ndarray) -> list[float]:
        scores = [evaluate(Static(), trained.model, row, trained.vocab.unk)[0] for row in rows]
        assert {score.tokens for score in scores} == {12}
        return [score.nats_per_token for score in scores]

    for quality, temperature in ((found.random, 1.0), (found.tempered[0].quality, 0.5)):
        generators = [torch.Generator().manual_seed(0) for _ in range(2)]
        first = first_words(trained.model, 2, generators[0])
        sampler = Sampler(max_new_tokens=12, num_return_sequences=2, temperature=temperature)
        ids = generate(trained.model, sampler, trained.vocab, generator=generators[1])
        rows = torch.cat([first[:, None], ids], dim=1).numpy()
        assert quality.surprisal_of_texts == pytest.approx(mean_nats(rows), rel=1e-5)
        assert quality.surprisal == pytest.approx(np.mean(quality.surprisal_of_texts))
    assert found.real.surprisal_of_texts == pytest.approx(mean_nats(pieces(text.ids["test"], 2, 13)), rel=1e-5)


def test_text_that_is_gone_is_said_and_the_rest_compared(folder: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("a b c d e f g h i j\n" * 60)
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        settings = ["data=text", f"data.train={text}", *TINY, "trainer.limit_train_batches=2"]
        train(configure("train", *settings), tmp_path / name)
    text.unlink()
    found = report(tmp_path, tmp_path / "out", "x", "y")
    assert {row["figure"] for row in found["refused"]} >= {"all that needs its text"}
    assert "does not exist" in found["refused"][0]["reason"]
    assert found["runs"][0]["quality"]["greedy"]["ngram_nats"] is None


def test_nats_are_kept_until_the_checkpoint_changes(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "a1", tmp_path / "a1")
    report(tmp_path, tmp_path / "out", "a1")
    kept = tmp_path / "out/nats/a1.npz"
    first = kept.stat().st_mtime_ns
    report(tmp_path, tmp_path / "out", "a1")
    assert kept.stat().st_mtime_ns == first
    best = tmp_path / "a1/checkpoints/best.ckpt"
    content = torch.load(best, weights_only=True)
    content["state_dict"]["model.head.linear.bias"][0] += 3
    torch.save(content, best)
    found = report(tmp_path, tmp_path / "out", "a1")
    assert any("its result.json says" in row["reason"] for row in found["refused"])  # not the model that was tested


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["runs=[]"], "runs is empty"),
        ([], "runs is missing"),
        (["runs=[/nowhere]"], "/nowhere does not exist"),
        (["runs=[{folder}/failed]"], "no finished run to compare"),
        (["runs=[{folder}/a1]", "confidence=1.5"], "confidence must be above 0 and below 1"),
        (["runs=[{folder}/a1]", "words=[army]"], "two or more are needed"),
        (["runs=[{folder}/a1]", "out={folder}/a1/result.json"], "out: "),
        (["runs=[{folder}/a1]", "table={folder}/a1"], "table: .* is a folder; name a file"),
        (["runs=[{folder}/a1]", "curves={folder}/a1/result.json/x.csv"], "curves: cannot write"),
        (["runs=[{folder}/a1]", "brief=true", "prompts=[a]"], "prompts: the brief page has no"),
        (["runs=[{folder}/a1]", "curves={folder}/a1/curves.csv"], "lies in a run's folder"),
        (["runs=[{folder}/a1]", "table=runs.xlsx"], "table: runs.xlsx must end in .csv"),
        (["runs=[{folder}/a1]", "table=x.csv", "curves=x.csv"], "both name x.csv"),
        (["runs=[{folder}/a1]", "pairs=/nowhere"], "pairs: cannot read /nowhere: No such file"),
        (["runs=[{folder}/a1]", "pairs={folder}/failed/result.json"], "line 1 is not two different words"),
        (["runs=[{folder}/a1]", "temperatures=[0.5,0]"], "temperatures.* above 0"),
    ],
)
def test_mistakes_get_a_sentence(settings: list[str], expected: str, folder: Path, tmp_path: Path) -> None:
    settings = [setting.format(folder=folder) for setting in settings]
    out = [] if any(setting.startswith("out=") for setting in settings) else [f"out={tmp_path}"]
    with pytest.raises(UserError, match=expected):
        compare(configure("compare", *QUICK, *out, *settings))


def test_unknown_words_and_prompts_are_said(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "pairs.txt"
    file.write_text("w1 w2\nw3 w4\n\nw5 w6\nw7 w8\nw9 nowhere\nw10 w11\n")
    found = report(folder, tmp_path, "a1", words="[w1,nowhere]", prompts="['w1 elsewhere']", pairs=file)
    pairs = found["runs"][0]["relatedness"]
    assert (pairs["given"], pairs["left_out"]) == (6, [["w9", "nowhere"]])
    assert [row["pairs"] for row in found["related"]] == [5, 5]
    assert (tmp_path / "related.png").is_file()
    assert "not in the vocabulary: w9 - nowhere." in (tmp_path / "report.md").read_text()
    assert any("'nowhere' is not among its 41 words" in row["reason"] for row in found["refused"])
    assert found["runs"][0]["samples"][0]["lacking"]
    assert "its vocabulary lacks" in (tmp_path / "report.html").read_text()


def test_a_run_that_goes_on_keeps_its_seconds_and_its_first_embedding(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "a1", tmp_path / "a1")
    run = Run(tmp_path / "a1")
    before, initial = run.result["training"], (run.dir / "initial_embedding.pt").read_bytes()
    train(configure("train", f"checkpoint={run.dir}", "trainer.max_epochs=3", *QUICK[:1]), run.dir)
    assert run.result["training"]["seconds"] > before["seconds"]
    assert run.result["training"]["windows"] == 24
    seconds = run.curve("train/seconds")
    assert list(seconds) == list(range(24))
    assert list(seconds.values()) == sorted(seconds.values())
    assert (run.dir / "initial_embedding.pt").read_bytes() == initial
    (tmp_path / "new").mkdir()
    train(configure("train", f"checkpoint={run.dir}", "trainer.max_epochs=4", *QUICK[:1]), tmp_path / "new")
    assert (tmp_path / "new/initial_embedding.pt").read_bytes() == initial


def test_the_end_of_a_sweep_writes_the_report(tmp_path: Path, text_file: Path) -> None:
    settings = ["data=text", f"data.train={text_file}", *TINY, "trainer.limit_train_batches=3", "~callbacks.projector"]
    settings += ["trainer.limit_val_batches=1", "trainer.limit_test_batches=1", f"hydra.sweep.dir={tmp_path}"]
    done = subprocess.run(
        [sys.executable, "train.py", "-m", *settings, "forcing=teacher,free_running"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"report: {tmp_path}/report/report.html" in done.stdout
    found = json.loads((tmp_path / "report/report.json").read_text())
    assert [group["name"] for group in found["groups"]] == ["teacher", "free_running"]


def test_a_report_that_cannot_be_made_does_not_fail_the_sweep(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    from omegaconf import OmegaConf

    from lm.commands.sweep_table import SweepTable

    config = OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}, "launcher": {"_target_": "BasicLauncher"}}})
    (tmp_path / "0").mkdir()
    write_json(tmp_path / "0/result.json", {"status": "failed", "error": "no luck", "overrides": []})
    SweepTable().on_multirun_end(config)
    assert "report: none: no finished run to compare" in capsys.readouterr().out
    SweepTable(report=False).on_multirun_end(config)
    assert "report:" not in capsys.readouterr().out


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as content:
        return list(csv.DictReader(content))


def words_of(out: Path) -> int:
    return len((out / "report.md").read_text().split())


def test_the_report_begins_with_its_answer_and_its_contents_lead_to_every_section(folder: Path, tmp_path: Path) -> None:
    report(folder, tmp_path, "a1", "a2", "free")
    text, page = ((tmp_path / f"report.{kind}").read_text() for kind in ("md", "html"))
    title, heading, answer, *_ = (line for line in text.splitlines() if line)
    assert title.startswith("# Runs compared")
    assert heading == "## In short"
    assert re.search(r"^- Test perplexity .* by [\d.]+%, [\d.]+ nats a token \(interval over the text ", answer)
    sections = [line[3:] for line in text.splitlines() if line.startswith("## ")][1:]
    assert re.findall(r"^- \[(.*)\]\(#", text, re.MULTILINE) == sections
    # As GitHub makes anchors: small letters, no punctuation, hyphens for spaces.
    anchors = ["".join(c for c in line.lower() if c.isalnum() or c in "-_ ").replace(" ", "-") for line in sections]
    assert re.findall(r"\]\(#(.*)\)$", text, re.MULTILINE) == anchors
    assert re.findall(r'<a href="#(.*?)">', page) == anchors
    assert set(anchors) < set(re.findall(r'<h2 id="(.*?)">', page))


def test_the_brief_page_fits_a_sheet_and_measures_no_more_than_it_shows(folder: Path, tmp_path: Path) -> None:
    whole = report(folder, tmp_path / "whole", "a1", "a2", "free", "failed")
    found = report(folder, tmp_path / "brief", "a1", "a2", "free", "failed", brief="true")
    assert found["differences"] == whole["differences"]
    assert found["groups"] == whole["groups"]
    assert all(row["quality"] is row["samples"] is row["embeddings"] is None for row in found["runs"])
    assert 100 < words_of(tmp_path / "brief") <= 450 < words_of(tmp_path / "whole")
    text, page = ((tmp_path / f"brief/report.{kind}").read_text() for kind in ("md", "html"))
    assert len(re.findall(r"^- ", text, re.MULTILINE)) == 3
    assert text.count("![") == page.count("<img") == 1
    assert '<body class="sheet">' in page
    assert "Left out, because they failed or did not end: 1" in text
    assert "settings; " not in text  # all are there
    for group in found["groups"]:
        assert f"{group['test']['mean']:.2f}" in text


@pytest.mark.parametrize(("name", "fewest"), [("dropout={}", 8), ("a name of many words, such as dropout={}", 4)])
def test_of_many_settings_the_brief_page_shows_the_best_and_counts_the_rest(
    name: str, fewest: int, folder: Path, tmp_path: Path
) -> None:
    runs, left_out = read_runs([str(folder / one) for one in ("a1", "a2")])
    found = figures(runs, left_out, tmp_path, Settings(resamples=200, brief=True))
    (group,) = found.groups
    worst_first = [
        replace(group, name=name.format(k), test=replace(group.test, mean=50.0 - k), tokens_per_second=1000 + k)
        for k in range(15)
    ]
    rows = [replace(run, group=one.name) for one in worst_first for run in found.runs]
    title, blocks = brief_page(replace(found, groups=worst_first, runs=rows))
    text = markdown(title, blocks)
    assert len(text.split()) <= 450
    shown = [line.split(" | ")[0] for line in text.splitlines() if re.match(r"\| .*=\d+ \|", line)]
    assert shown == [f"| {one.name}" for one in worst_first[::-1][: len(shown)]]
    assert fewest <= len(shown) <= 12
    assert f"The table has the best {len(shown)} of 15 settings; {15 - len(shown)} are left out." in text
    assert "The plot has the best 7." in text


def test_tables_hold_the_figures_of_every_run_and_the_reason_of_those_left_out(folder: Path, tmp_path: Path) -> None:
    table, curves = tmp_path / "of/runs.csv", tmp_path / "curves.csv"
    found = report(folder, tmp_path, "a1", "a2", "free", "failed", "cut", brief="true", table=table, curves=curves)
    rows = rows_of(table)
    assert [row["run"] for row in rows] == ["a1", "a2", "free", "failed", "cut"]
    assert [row["setting"] for row in rows[:3]] == [row["group"] for row in found["runs"]]
    for row in rows[:3]:
        result = Run(folder / row["run"]).result
        assert row["status"] == "completed"
        assert not row["reason"]
        for key in ("valid.perplexity", "valid.nats", "test.free_running.perplexity", "training.seconds"):
            assert float(row[key]) == value_at(result, key)
        for key in ("seed", "test.unknown", "test.tokens", "best.epoch", "parameters", "vocabulary", "train.unknown"):
            assert int(row[key]) == value_at(result, key)
        for key in ("provenance.torch", "provenance.device", "provenance.data.test", "forcing.feedback"):
            assert row[key] == value_at(result["config"] if key.startswith("forcing") else result, key)
    assert {"forcing.update", "forcing.feedback"} < set(rows[0])
    assert not {"model.hidden_size", "optim.lr", "config.seed"} & set(rows[0])  # alike in all that are known
    assert [row["status"] for row in rows[3:]] == ["failed", "failed"]
    assert "no luck" in rows[3]["reason"]
    assert "cut short" in rows[4]["reason"]
    points = rows_of(curves)
    assert list(points[0]) == ["run", "setting", "windows", "tokens", "updates", "seconds", "tag", "value"]
    for name in ("a1", "free"):
        own = rows_of(folder / name / "curves.csv")
        long = {(p["windows"], p["tag"]): p for p in points if p["run"] == name}
        tags = {(row["windows"], tag) for row in own for tag in row if "/" in tag and row[tag]}
        assert long.keys() == tags
        for row in own:
            for tag in ("train/loss", "valid/perplexity"):
                if row[tag]:
                    assert {**row, "value": row[tag]}.items() >= (
                        {key: long[row["windows"], tag][key] for key in ("tokens", "updates", "seconds", "value")}
                    ).items()


def value_at(tree: dict[str, Any], key: str) -> Any:
    for part in key.split("."):
        tree = tree[part]
    return tree
