"""Tokenisers: text of any kind trains, samples and scores; what is split is joined again; figures that compare."""

from __future__ import annotations

import json
import math
import sys
import unicodedata
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY, Done, Run, resume
from hypothesis import given
from hypothesis import strategies as st

from lm.data.encoding import encode
from lm.data.sources.text_files import TextFiles
from lm.data.text_size import size_of
from lm.data.tokenisers import BPE, EOS, UNK, Bytes, Characters, File, Punctuation, Tokeniser, Whitespace
from lm.data.vocabulary import Vocab
from lm.data.vocabulary_choice import VocabularyChoice
from lm.runs.trained import load
from lm.system.errors import UserError

tokenizers = pytest.importorskip("tokenizers")  # a borrowed machine may lack it

GERMAN = ["Der Müller mahlt das Korn, und die Gänse schreien.", "Größe, Straße, Übermut: „Das ist schön“, sagte sie."]
RUSSIAN = ["Старик ловил рыбу, а старуха пряла пряжу.", "Где дом? Дом — там, у реки!"]  # noqa: RUF001
CHINESE = ["天地玄黄，宇宙洪荒。", "日月盈昃，辰宿列张。"]  # noqa: RUF001
EMOJI = ["good 👍 day 😀!", "👨‍👩‍👧 a family, 🇩🇪 a flag."]
CODE = ["def f(x):", "    return x[0] + 'a'  # sum", "if (a<b) { c->d(); }\t// deref"]
KINDS = {"German": GERMAN, "Russian": RUSSIAN, "Chinese": CHINESE, "emoji": EMOJI, "code": CODE}
TEXT = "".join(f"{line}\n" for _ in range(40) for lines in KINDS.values() for line in lines)
SHORT = [*TINY, "trainer.limit_train_batches=3", "trainer.max_epochs=1", "free_running=null", "accelerator=cpu"]

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@cache
def byte_pairs(normalise: str | None = None) -> Tokeniser:
    return BPE(size=400, normalise=normalise).trained([TEXT])  # type: ignore[arg-type]


def vocab_of(tokeniser: Tokeniser, text: str = "") -> Vocab:
    return Vocab.from_words(tokeniser.own_words if tokeniser.brings_words else tokeniser.split(text), tokeniser)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    (folder / "text.txt").write_text(TEXT, encoding="utf-8")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.train(
        [str(folder / "text.txt")], tokenizers.trainers.WordPieceTrainer(vocab_size=200, special_tokens=["[UNK]"])
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def chosen(option: str, files: Path) -> list[str]:
    more = {"bpe": ["data.tokeniser.size=400"], "file": [f"data.tokeniser.path={files}/tokenizer.json"]}
    return ["data=text", f"data.train={files}/text.txt", f"data/tokeniser={option}", *more.get(option, [])]


@given(ANY_TEXT)
def test_bytes_and_byte_pairs_give_any_text_back(text: str) -> None:
    for tokeniser in (Bytes(), byte_pairs()):
        vocab = vocab_of(tokeniser)
        ids = vocab.encode(text)
        assert vocab.decode(ids.tolist()) == text
        assert vocab.unk not in ids


@given(ANY_TEXT)
def test_characters_give_back_a_text_whose_characters_they_know(text: str) -> None:
    vocab = vocab_of(Characters(), text)
    assert vocab.decode(vocab.encode(text).tolist()) == text
    assert len(vocab.encode(text)) == len(text)


@given(ANY_TEXT, st.sampled_from(["NFC", "NFKC"]))
def test_byte_pairs_give_a_text_back_in_its_normal_form(text: str, form: str) -> None:
    vocab = vocab_of(byte_pairs(form))
    assert vocab.decode(vocab.encode(text).tolist()) == unicodedata.normalize(form, text)  # type: ignore[arg-type]


@given(st.lists(ANY_TEXT, max_size=4))
def test_pieces_that_end_at_line_ends_have_the_tokens_of_the_whole(lines: list[str]) -> None:
    pieces = [line.replace("\n", " ") + "\n" for line in lines]
    for tokeniser in (Whitespace(), Characters(), Bytes(), Punctuation(), byte_pairs(), Whitespace(normalise="NFKC")):
        assert tokeniser.split("".join(pieces)) == [token for piece in pieces for token in tokeniser.split(piece)]
        assert tokeniser.split("".join(pieces)).count(EOS) == len(pieces)


@given(st.lists(ANY_TEXT, max_size=4))
def test_sizes_add_up_and_words_are_those_of_white_space(lines: list[str]) -> None:
    pieces = [line + "\n" for line in lines]
    whole = size_of("".join(pieces))
    assert whole.words == len(Whitespace().split("".join(pieces)))
    assert (whole.characters, whole.bytes) == (len("".join(pieces)), len("".join(pieces).encode()))
    parts = [size_of(piece, Whitespace(), len(Whitespace().split(piece))) for piece in pieces]
    assert sum(part.words for part in parts) == whole.words


@pytest.mark.parametrize(
    "text",
    [
        "It's here, he said.",
        'The U.S. company "sold" 5,000 shares (3%) on Dec. 4; why?',
        "a word . and <unk> stays",
        "two lines,\nthe second.",
    ],
)
def test_punctuation_stands_apart_and_is_joined_as_people_write_it(text: str) -> None:
    vocab = vocab_of(Punctuation(), text)
    readable = text.replace(" . and", ". and")
    assert vocab.decode(vocab.encode(text).tolist()) == readable


def test_punctuation_knows_the_tokens_of_moses() -> None:
    said = Punctuation().split("It's U.S. law, <unk> said.\n")
    assert said == ["It", "'s", "U.S.", "law", ",", UNK, "said", ".", EOS]
    german = Punctuation(language="de").split("Am 3. Mai, z. B. bei Dr. Maier.")
    assert german == ["Am", "3.", "Mai", ",", "z.", "B.", "bei", "Dr.", "Maier", "."]


@pytest.mark.parametrize("option", ["whitespace", "characters", "bytes", "punctuation", "bpe", "file"])
def test_any_text_trains_samples_and_scores(
    option: str, files: Path, train: Callable[..., Run], call: Callable[..., Done], tmp_path: Path
) -> None:
    run = train(*chosen(option, files), *SHORT)
    assert run.result["test"]["unknown"] == 0
    trained = load(run.dir)
    assert trained.vocab.tokeniser.option == option
    for lines in KINDS.values():
        ids = trained.vocab.encode(lines[0])
        assert trained.vocab.unk not in ids
        joined = trained.vocab.decode(ids.tolist())
        if option in ("characters", "bytes", "bpe"):
            assert joined == lines[0]
        elif option == "whitespace":
            assert joined.split() == lines[0].split()
        sampled = call("sample", f"checkpoint={run.dir}", f"prompt={lines[0]}", "sampler.max_new_tokens=5")
        assert sampled.code == 0, sampled.err
        assert sampled.out.startswith(joined.rstrip())
    out, tokens = tmp_path / "score.json", tmp_path / "tokens.tsv"
    scored = call("evaluate", f"checkpoint={run.dir}", f"out={out}", f"per_token={tokens}")
    assert scored.code == 0, scored.err
    figures, rows = json.loads(out.read_text()), tokens.read_text(encoding="utf-8").splitlines()
    text = "".join(trained.corpus.source.pieces("test"))
    assert figures["words"] == len(Whitespace().split(text))
    # However bits per byte are worked out, they are the same.
    nats = sum(float(row.split("\t")[1]) for row in rows)
    sizes = {"bits_per_byte": len(text.encode()), "bits_per_character": len(text)}
    for figure, size in sizes.items():
        assert figures[figure] == pytest.approx(nats / math.log(2) / size, rel=1e-6)
        assert run.result["test"][figure] == pytest.approx(figures[figure], rel=1e-5)
    assert figures["perplexity_per_word"] == pytest.approx(math.exp(nats / figures["words"]), rel=1e-5)
    per_word = math.log2(figures["perplexity_per_word"]) * figures["words"] / len(text.encode())
    assert per_word == pytest.approx(figures["bits_per_byte"], rel=1e-6)
    per_token = math.log2(figures["perplexity"]) * figures["tokens"] / len(text.encode())
    assert per_token == pytest.approx(figures["bits_per_byte"], rel=1e-6)


def test_a_split_that_is_not_scored_whole_has_no_bits_per_byte(files: Path, train: Callable[..., Run]) -> None:
    run = train(*chosen("bytes", files), *SHORT, "trainer.limit_test_batches=1", "data.eval_window=20")
    assert run.result["test"]["bits_per_byte"] is None
    assert run.result["valid"]["bits_per_byte"] > 0


def test_lower_case_and_normal_form_hold_for_all_that_is_read(
    files: Path, train: Callable[..., Run], call: Callable[..., Done]
) -> None:
    run = train(*chosen("whitespace", files), "data.lowercase=true", "data.normalise=NFKC", *SHORT)
    vocab = load(run.dir).vocab
    assert "müller" in vocab
    assert "Müller" not in vocab
    decomposed = "DER MÜLLER"
    assert vocab.decode(vocab.encode(decomposed).tolist()) == "der müller"
    sampled = call("sample", f"checkpoint={run.dir}", f"prompt={decomposed}", "sampler.max_new_tokens=1")
    assert sampled.out.startswith("der müller ")
    scored = call("evaluate", f"checkpoint={run.dir}", f"text={decomposed}")
    assert "2 tokens, 0 unknown" in scored.out
    assert run.result["config"]["data"]["lowercase"] is True


def test_byte_pairs_are_learned_from_the_training_text_alone(tmp_path: Path) -> None:
    (tmp_path / "train").write_text("low lower lowest\n" * 50)
    (tmp_path / "other").write_text("high higher highest\n" * 50)
    found = encode(
        TextFiles(*[tmp_path / name for name in ("train", "other", "other")]), VocabularyChoice(BPE(size=300))
    )
    assert "Ġlower" in found.vocab
    assert not any("hi" in word for word in found.vocab.words)
    again = encode(
        TextFiles(*[tmp_path / name for name in ("train", "train", "train")]), VocabularyChoice(BPE(size=300))
    )
    assert again.vocab == found.vocab


def test_a_tokenizer_json_may_be_deleted_after_training(files: Path, train: Callable[..., Run], tmp_path: Path) -> None:
    own = tmp_path / "tokenizer.json"
    own.write_bytes((files / "tokenizer.json").read_bytes())
    run = train(
        "data=text", f"data.train={files}/text.txt", "data/tokeniser=file", f"data.tokeniser.path={own}", *SHORT
    )
    own.unlink()
    trained = load(run.dir)
    assert len(trained.split_ids("test")) == run.result["test"]["tokens"] + 1
    assert str(tmp_path) not in json.dumps(trained.vocab.as_dict())


def test_a_vocabulary_of_byte_pairs_goes_on_with_another_text(
    files: Path, train: Callable[..., Run], tmp_path: Path
) -> None:
    first = train(*chosen("bpe", files), *SHORT, name="first")
    (tmp_path / "other.txt").write_text("".join(f"Gänse und {line}\n" for line in GERMAN) * 30)
    moved = ["data=text", f"data.train={tmp_path}/other.txt", "data/tokeniser=bpe", f"data.vocab_from={first.dir}"]
    second = train(*moved, f"weights_from={first.dir}", *SHORT, name="second")
    assert load(second.dir).vocab == load(first.dir).vocab
    with pytest.raises(UserError, match="choose data/tokeniser=bpe"):
        train(*moved[:2], moved[3], *SHORT, name="third")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["data.unit=character"], "data/tokeniser=characters"),
        (["data.unit=word"], "data/tokeniser=whitespace"),
        (["data.tokeniser=bpe"], "data/tokeniser=bpe"),
        (["data/tokeniser=bpee"], "Did you mean bpe?"),
        (["data/tokeniser=bytes", "data.min_count=2"], "data/tokeniser=bytes brings its vocabulary"),
        (["data/tokeniser=bpe", "data.vocab_size=500"], "its size is data.tokeniser.size"),
        (["data/tokeniser=bpe", "data.tokeniser.size=100"], "data.tokeniser.size must be at least 258"),
        (["data/tokeniser=bytes", "data.vocab_file=words"], "data/tokeniser=bytes brings its vocabulary"),
        (["data/tokeniser=file"], "data.tokeniser.path is missing"),
        (["data/tokeniser=file", "data.tokeniser.path=nowhere.json"], "nowhere.json: No such file"),
        (["data/tokeniser=punctuation", "data.tokeniser.language=xx"], "language=xx: the Moses tokeniser has no rules"),
        (["data.tokeniser.size=300"], "data/tokeniser=bpe has it: data/tokeniser=bpe data.tokeniser.size=300"),
        (["data.train=[]"], "is an empty list"),
        (["data.normalise=NFD"], "data.normalise must be one of NFC, NFKC or null"),
    ],
)
def test_mistakes_get_one_sentence(settings: list[str], said: str, files: Path, call: Callable[..., Done]) -> None:
    done = call("train", "data=text", f"data.train={files}/text.txt", *settings, *SHORT)
    assert done.code != 0
    assert said in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("content", [b"{}", b"not json", b"\xff\xfe", b'{"model": {"type": "BPE"}}'])
def test_a_file_that_is_no_tokeniser_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(UserError, match=r"data\.tokeniser\.path: .*tokenizer\.json"):
        File(path=str(tmp_path / "tokenizer.json")).trained([])


@pytest.mark.parametrize("kind", ["BPE", "WordLevel", "Unigram"])
def test_a_tokeniser_that_would_drop_text_is_refused(kind: str, tmp_path: Path) -> None:
    words = {"BPE": tokenizers.models.BPE(), "WordLevel": tokenizers.models.WordLevel({"a": 0, "b": 1}, unk_token="no")}
    words["Unigram"] = tokenizers.models.Unigram([("a", -1.0), ("b", -2.0)])
    tokenizer = tokenizers.Tokenizer(words[kind])
    tokenizer.add_tokens(["the", "army"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(UserError, match=r"tokenizer\.json describes a tokeniser without an unknown token"):
        File(path=str(tmp_path / "tokenizer.json")).trained([])


def test_a_run_resumes_without_its_tokenizer_json(files: Path, train: Callable[..., Run], tmp_path: Path) -> None:
    own = tmp_path / "tokenizer.json"
    own.write_bytes((files / "tokenizer.json").read_bytes())
    named = [*chosen("file", files)[:3], f"data.tokeniser.path={own}", *SHORT]
    whole = train(*named, "trainer.max_epochs=2", name="whole")
    stopped = train(*named, name="stopped")
    own.unlink()
    resumed = resume(stopped.dir, "checkpoint=last", "trainer.max_epochs=2")
    assert resumed.result["test"]["nats"] == whole.result["test"]["nats"]


def test_byte_pairs_are_shown_as_text() -> None:
    assert [byte_pairs().shown(token) for token in byte_pairs().split("Größe 👍")][-3:] != []
    assert byte_pairs().shown("Ġdie") == " die"
    assert byte_pairs().shown("Ã") == "Ã"  # half of a character stays as it is
    assert Whitespace().shown("the") == "the"


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, files: Path, call: Callable[..., Done]) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    done = call("train", *chosen("bpe", files), "data.tokeniser.size=390", *SHORT)  # a size that no other test encodes
    assert done.code == 1
    assert "data/tokeniser=bpe needs the package tokenizers, which is not installed: pip install tokenizers" in done.err


def test_a_given_vocabulary_has_the_words_of_its_tokeniser(files: Path, tmp_path: Path) -> None:
    kept = vocab_of(Characters(), TEXT)
    with pytest.raises(UserError, match="choose data/tokeniser=characters"):
        VocabularyChoice(Bytes(), given=kept)
    with pytest.raises(UserError, match=r"choose data\.lowercase=false"):
        VocabularyChoice(Characters(lowercase=True), given=kept)
    found = encode(TextFiles(files / "text.txt"), VocabularyChoice(Characters(), given=kept))
    assert np.array_equal(found.ids["train"], kept.encode("".join(TextFiles(files / "text.txt").pieces("train"))))
