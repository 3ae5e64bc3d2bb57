"""Weights in the language: what is compiled, what a run starts from, what identifies it, and what it exports."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lmc.compiler.cli import main
from lmc.compiler.pipeline import compile_spec
from lmc.runtime.inputs import InputDigests
from lmc.runtime.weights import load_hf
from lmc.spec.diagnostic import LmcError
from lmc.spec.model import Attention, HfWeights, Llama3Scaling, Rope, SwiGLU
from lmc.spec.plan import Plan

from ..tokenizers.made import byte_level
from .made import saved

MODEL = """
tokenizer bytes : byte { specials = ["<|eod|>"] }
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16 }
model small : transformer {
  tokenizer = bytes, layers = 2, width = 16
  norm    : rms { eps = 1e-4 }
  mixer   : attention { heads = 4, kv_heads = 2, bias = "all", head_dim = 6 }
  mlp     : swiglu { hidden = 24, bias = true }
  positions : rope { theta = 100, scaling : llama3 { factor = 4, original = 16 } }
  weights : hf { folder = file("w") }
}
train base { model = small, data = book, steps = 2, batch = 4, every { log = 1, checkpoint = 1 } }
"""
SAME = {
    "vocab": 256,
    "mixer": Attention(heads=4, kv_heads=2, bias="all", head_dim=6),
    "mlp": SwiGLU(hidden=24, bias=True),
    "positions": Rope(theta=100.0, scaling=Llama3Scaling(factor=4.0, original=16)),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with weights of 256 ids under `w` and a spec that starts from them."""
    saved(tmp_path / "w", **SAME)
    (tmp_path / "book.txt").write_text("the quick brown fox jumps over the lazy dog. " * 20, encoding="utf-8")
    (tmp_path / "case.lmspec").write_text(MODEL, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plan_of(text: str, folder: Path) -> Plan:
    path = folder / "other.lmspec"
    path.write_text(text, encoding="utf-8")
    compiled = compile_spec(path)
    assert compiled.plan is not None, [d.message for d in compiled.diagnostics.items]
    return compiled.plan


def codes(text: str, folder: Path) -> list[str]:
    path = folder / "other.lmspec"
    path.write_text(text, encoding="utf-8")
    return [d.code for d in compile_spec(path).diagnostics.items if d.severity == "error"]


def run_folder(folder: Path) -> Path:
    (found,) = (path.parent for path in (folder / "runs").glob("*/records.jsonl"))
    return found


def test_the_block_is_compiled_to_its_spec(folder: Path) -> None:
    plan = plan_of(MODEL.replace('file("w")', 'file("w"), dtype = "bf16", new_rows = "normal"'), folder)
    (model,) = (node.spec for node in plan.nodes.values() if hasattr(node.spec, "mixer"))
    assert model.weights == HfWeights(folder="w", dtype="bf16", new_rows="normal")  # type: ignore[arg-type]
    assert model.positions.scaling == Llama3Scaling(factor=4.0, original=16)
    assert model.params == model.num_params() == sum(p.numel() for p in load_hf(folder / "w")[1].parameters()) + 2 * 16


def test_weights_can_be_taken_off_by_an_overlay(folder: Path) -> None:
    plain = plan_of(MODEL.replace('  weights : hf { folder = file("w") }\n', ""), folder)
    without = plan_of(MODEL + "train drawn : base { model.weights = none }", folder)
    assert {i for i, n in plain.nodes.items() if n.name == "base"} <= set(without.nodes)


def test_what_is_read_identifies_the_run(folder: Path) -> None:
    def run_of(text: str) -> str:
        return next(node_id for node_id, node in plan_of(text, folder).nodes.items() if node.name == "base")

    texts = [
        MODEL,
        MODEL.replace('file("w")', 'file("x")'),
        MODEL.replace('file("w")', 'file("w"), dtype = "bf16"'),
        MODEL.replace('file("w")', 'file("w"), new_rows = "normal"'),
        MODEL.replace('folder = file("w")', 'repo = "a/b"'),
        MODEL.replace('folder = file("w")', 'repo = "a/b", revision = "1"'),
        MODEL.replace('  weights : hf { folder = file("w") }\n', ""),
    ]
    assert len({run_of(text) for text in texts}) == len(texts)


def test_every_byte_that_is_read_enters_the_digest_of_inputs(folder: Path) -> None:
    plan = plan_of(MODEL, folder)
    run = next(node_id for node_id, node in plan.nodes.items() if node.name == "base")
    digests = {InputDigests(plan).of(run)}
    for name in ("config.json", "model.safetensors"):
        path = folder / "w" / name
        path.write_bytes(path.read_bytes() + b" ")
        digests.add(InputDigests(plan).of(run))
    (folder / "w" / "README.md").write_text("not read")
    digests.add(InputDigests(plan).of(run))
    assert len(digests) == 3
    shutil.rmtree(folder / "w")
    with pytest.raises(LmcError) as caught:
        InputDigests(plan).of(run)
    assert caught.value.diagnostic.code == "LM0701"


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ('folder = file("w")', "", "LM0309"),
        ('folder = file("w")', 'folder = file("w"), repo = "a/b"', "LM0309"),
        ('folder = file("w")', 'folder = file("w"), revision = "1"', "LM0309"),
        ('folder = file("w")', 'folder = "w"', "LM0301"),
        ('folder = file("w")', 'folder = file("w"), new_rows = "zero"', "LM0304"),
        ("weights : hf", "weights : gguf", "LM0202"),
        ("scaling : llama3", "scaling : longrope", "LM0212"),
        ("original = 16", "original = 16, low = 4", "LM0303"),
        ("head_dim = 6", "head_dim = 7", "LM0405"),
        ("heads = 4, kv_heads = 2", "heads = 4, kv_heads = 3", "LM0403"),
        ('bias = "all"', 'bias = "some"', "LM0304"),
    ],
)
def test_mistakes_are_found_before_anything_is_read(old: str, new: str, code: str, folder: Path) -> None:
    assert old in MODEL
    assert codes(MODEL.replace(old, new), folder) == [code]


def test_heads_need_not_divide_the_width_if_their_size_is_said(folder: Path) -> None:
    assert codes(MODEL.replace("heads = 4, kv_heads = 2", "heads = 3, kv_heads = 3"), folder) == []
    assert codes(MODEL.replace("heads = 4, kv_heads = 2", "heads = 3").replace(", head_dim = 6", ""), folder) == [
        "LM0401"
    ]


def test_a_run_starts_from_the_weights_and_exports_what_it_made_of_them(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    still = MODEL.replace("every {", "optim.lr = 1e-30, optim.weight_decay = 0, every {")
    (folder / "case.lmspec").write_text(still, encoding="utf-8")
    assert main(["run", "case.lmspec", "--jobs", "1"]) == 0
    capsys.readouterr()
    assert main(["export", "base", "--format", "hf", "-o", "out"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("out: ")
    assert second == (
        "the vocabulary is written as vocabulary.tiktoken, which transformers does not read; <|eod|> is 256"
    )
    written, given = load_file("out/model.safetensors"), load_file("w/model.safetensors")
    assert written.keys() == given.keys()
    for name, tensor in given.items():
        assert torch.equal(written[name][: len(tensor)], tensor), name
    assert len(written["lm_head.weight"]) == len(given["lm_head.weight"]) + 1
    assert len((folder / "out" / "vocabulary.tiktoken").read_text().splitlines()) == 256
    made = [*(folder / "out").iterdir(), *(folder / "runs").glob("*/*.safetensors")]
    assert {path.stat().st_mode for path in made} == {(folder / "case.lmspec").stat().st_mode}
    config = json.loads((folder / "out" / "config.json").read_text())
    assert config["max_position_embeddings"] == 64
    assert json.loads((folder / "out" / "generation_config.json").read_text())["eos_token_id"] == [256]
    spec, loaded = load_hf(folder / "out")
    assert spec.num_ids() == 257
    kept = load_file(run_folder(folder) / "model.safetensors")
    assert all(torch.equal(p, kept[path]) for path, p in loaded.named_parameters())


def test_a_resumed_run_goes_on_from_its_checkpoint(folder: Path) -> None:
    assert main(["run", "case.lmspec", "--jobs", "1"]) == 0
    run = run_folder(folder)
    whole = load_file(run / "model.safetensors")
    shutil.rmtree(run / "checkpoints" / "step-2")
    data = json.loads((run / "node.json").read_text())
    (run / "node.json").write_text(json.dumps({**data, "status": "partial"}))
    for path in (folder / "runs").glob("index.sqlite*"):
        path.unlink()
    assert main(["run", "case.lmspec", "--jobs", "1"]) == 0
    again = load_file(run / "model.safetensors")
    assert all(torch.equal(again[name], tensor) for name, tensor in whole.items())
    assert not torch.equal(whole["unembed.weight"][:256], load_file("w/model.safetensors")["lm_head.weight"])


def test_weights_that_do_not_fit_stop_the_run_with_a_place(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "case.lmspec").write_text(MODEL.replace("hidden = 24", "hidden = 25"), encoding="utf-8")
    assert main(["run", "case.lmspec", "--jobs", "1"]) == 3
    said = "".join(capfd.readouterr())
    assert "LM0713" in said
    assert "`mlp.hidden` is 25 in the model and 24 in config.json" in said


def test_a_run_of_an_hf_tokenizer_exports_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokenizers = pytest.importorskip("tokenizers", reason="needs the tokenizers library")
    byte_level(folder / "words.json")
    text = MODEL.replace(
        'byte { specials = ["<|eod|>"] }', 'hf { file = file("words.json"), specials = ["</s>", "<|new|>"] }'
    )
    (folder / "case.lmspec").write_text(text, encoding="utf-8")
    assert main(["run", "case.lmspec", "--jobs", "1"]) == 0
    capsys.readouterr()
    assert main(["export", "base", "-o", "out"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == "the tokenizer is written as tokenizer.json"
    library = tokenizers.Tokenizer.from_file("out/tokenizer.json")
    before = tokenizers.Tokenizer.from_file("words.json")
    size = json.loads((folder / "out" / "config.json").read_text())["vocab_size"]
    assert library.get_vocab_size() == size == before.get_vocab_size() + 1
    assert library.encode("a fox<|new|>").ids == [*before.encode("a fox").ids, size - 1]
    transformers = pytest.importorskip("transformers", reason="needs the transformers library")
    model = transformers.AutoModelForCausalLM.from_pretrained("out")
    loaded = transformers.AutoTokenizer.from_pretrained("out")
    assert loaded("a fox<|new|>").input_ids == library.encode("a fox<|new|>").ids
    assert model.config.vocab_size == size


def test_a_run_that_transformers_cannot_express_is_not_exported(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = MODEL[: MODEL.index("  mixer ")] + "  mixer : gated {}\n  mlp : swiglu { hidden = 8 }\n}\ntrain base {"
    text += MODEL.split("train base {")[1]
    (folder / "case.lmspec").write_text(text, encoding="utf-8")
    assert main(["run", "case.lmspec", "--jobs", "1"]) == 0
    capsys.readouterr()
    assert main(["export", "base", "-o", "out"]) == 1
    assert "LM0716" in capsys.readouterr().err
    assert main(["export", "nobody", "-o", "out"]) == 1
    assert "LM0809" in capsys.readouterr().err
    assert not (folder / "out").exists()


def test_files_are_listed_without_loading_torch() -> None:
    import subprocess

    program = "import sys, lmc.runtime.inputs, lmc.runtime.weights.files; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
