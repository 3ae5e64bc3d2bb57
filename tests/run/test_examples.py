"""The examples that read a text of the user's: what they promise, in a size that a test can wait for."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from lmc.compiler.cli import main
from lmc.runtime import load
from lmc.runtime.models.layout import SequenceLayout

from ..tokenizers.made import byte_level
from ..weights.made import theirs

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
TEXT = "ROMEO: the quick brown fox jumps over the lazy dog.\nJULIET: it's quicker than 1234 naïve dogs, Romeo!\n" * 400


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "shakespeare.txt").write_text(TEXT, encoding="utf-8")
    return tmp_path


def settings(**values: object) -> list[str]:
    return [part for path, value in values.items() for part in ("--set", f"{path.replace('__', '.')} = {value}")]


def scores(folder: Path) -> list[dict[str, float]]:
    lines = [line for path in folder.glob("runs/*/scores.jsonl") for line in path.read_text().splitlines()]
    return [score["metrics"] for score in map(json.loads, lines) if score["name"] == "held_out"]


def test_shakespeare_learns_over_a_vocabulary_of_its_own(folder: Path) -> None:
    text = f'file("{folder / "shakespeare.txt"}")'
    sizes = settings(
        shakes__steps=30, shakes__every__eval=10, words__size=300, shakes__model__width=36, shakes__schedule__warmup=3
    )
    sizes += settings(shakes__optim__lr=0.01, held_out__examples=8, speech__max_tokens=40)
    sources = settings(words__source=text, shakespeare__source=text)
    example = str(EXAMPLES / "shakespeare_bpe.lmspec")
    assert main(["run", example, "--with", "quick", *sizes, *sources, "--device", "cpu"]) == 0
    found = scores(folder)
    assert len(found) == 3
    assert found[-1]["loss"] < 0.7 * found[0]["loss"]
    run = load("shakes", device="cpu")
    assert run.model.spec.num_ids() == 301
    words = run.tokenizer.encode("JULIET: the quick brown fox")
    assert len(words) < 15, "the vocabulary was trained on the text"
    assert run.tokenizer.decode(list(words)) == "JULIET: the quick brown fox"
    assert (folder / "out" / "curve_bpe.svg").is_file()


@pytest.mark.transformers
def test_smollm2_goes_on_from_weights_and_tokenizer_on_disk(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A folder as transformers saves the architecture: 9 heads of 3 groups, tied, bf16, a special token with an id."""
    transformers = pytest.importorskip("transformers", reason="needs the transformers library")
    shutil.copy(EXAMPLES / "smollm2.lmspec", folder)
    (folder / "smollm2").mkdir()
    byte_level(folder / "smollm2" / "tokenizer.json", ("<|endoftext|>", "<|im_start|>"))
    ids = len(json.loads((folder / "smollm2" / "tokenizer.json").read_text())["model"]["vocab"]) + 1
    start = theirs(
        vocab_size=ids,
        hidden_size=72,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=9,
        num_key_value_heads=3,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 100_000.0},
    ).to(torch.bfloat16)
    start.save_pretrained(folder / "smollm2")
    sizes = settings(tune__model__layers=2, tune__model__width=72, tune__model__mlp__hidden=96)
    sizes += settings(tune__steps=20, tune__batch=4, tune__data__seq_len=32, tune__every__log=1, tune__every__eval=10)
    sizes += settings(tune__optim__lr=0.003, held_out__examples=8, speech__max_tokens=8)
    assert main(["run", "smollm2.lmspec", "--with", "local", *sizes, "--device", "cpu"]) == 0

    found = scores(folder)
    assert found[-1]["loss"] < found[0]["loss"]
    run = load("tune", device="cpu")
    assert run.model.spec.num_ids() == ids
    assert run.tokenizer.specials == {"<|endoftext|>": 0}
    capfd.readouterr()
    assert main(["generate", "tune", "--prompt", "ROMEO:", "--max-tokens", "5", "--device", "cpu"]) == 0
    assert capfd.readouterr().out.strip()

    assert main(["export", "tune", "-o", "tuned"]) == 0
    again = transformers.AutoModelForCausalLM.from_pretrained("tuned", dtype=torch.float32).eval()
    words = transformers.AutoTokenizer.from_pretrained("tuned")("the quick brown fox", return_tensors="pt").input_ids
    assert words[0].tolist() == list(run.tokenizer.encode("the quick brown fox"))
    with torch.no_grad():
        ours = run.model(words, SequenceLayout.rows([words.shape[1]]))
        torch.testing.assert_close(ours, again(words).logits, rtol=0, atol=1e-4)
        assert (ours - start.float()(words).logits).abs().max() > 1e-2, "the training changed the weights"
