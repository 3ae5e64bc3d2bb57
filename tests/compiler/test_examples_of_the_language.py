"""The five examples of the language's definition, letter by letter: typed, cross-checked, and counted."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lmc.compiler.cli import main
from lmc.compiler.pipeline import Compiled, compile_spec
from lmc.spec.model import Learned, Nope
from lmc.spec.plan import Plan
from lmc.spec.train import Secrets
from lmc.spec.units import Env

CASES = Path(__file__).parent / "cases" / "language"
NAMES = ("shakespeare", "itl", "mqar", "smollm2", "probes")
Compile = Callable[..., Compiled]


@pytest.fixture
def compile_(tmp_path: Path) -> Compile:
    for name in NAMES:
        shutil.copy(CASES / f"{name}.lmspec", tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "tinyshakespeare.txt").write_text("First Citizen:\n", encoding="utf-8")
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "qatool1.txt").write_text("<|user|>{{name}}\n<|answer|>{{birth_date}}", encoding="utf-8")

    def run(name: str, *edits: tuple[str, str], overlays: tuple[str, ...] = ()) -> Compiled:
        path = tmp_path / f"{name}.lmspec"
        text = path.read_text(encoding="utf-8")
        for was, becomes in edits:
            assert was in text
            text = text.replace(was, becomes)
        path.write_text(text, encoding="utf-8")
        return compile_spec(path, overlays)

    return run


def plan_of(compiled: Compiled) -> Plan:
    assert compiled.diagnostics.items == []
    assert compiled.plan is not None
    return compiled.plan


def model_of(plan: Plan, run: str) -> Any:
    return plan.nodes[plan.nodes[run].spec.model].spec


@pytest.mark.parametrize(
    ("name", "overlays", "block", "runs"),
    [
        ("shakespeare", (), "shakes", 1),
        ("itl", (), "fine", 15 * 2 * 26 * 10),
        ("itl", ("quick",), "fine", 3 * 2),
        ("mqar", (), "figure2", 3 * 4 * 4 * 4 - 3 * 1 * 1 * 4),
        ("smollm2", (), "tune", 1),
        ("smollm2", ("smoke",), "tune", 1),
        ("probes", (), "watched", 1),
    ],
)
def test_an_example_is_clean_and_has_its_runs(
    name: str, overlays: tuple[str, ...], block: str, runs: int, compile_: Compile
) -> None:
    compiled = compile_(name, overlays=overlays)
    plan = compiled.plan
    assert plan is not None, compiled.diagnostics.items
    assert [d.severity for d in compiled.diagnostics.items if d.severity != "warning"] == []
    assert len({point.run for point in plan.points if point.grid == block}) == runs


def test_the_model_of_shakespeare_follows_its_tokenizer(compile_: Compile) -> None:
    plan = plan_of(compile_("shakespeare"))
    (point,) = plan.points
    model = model_of(plan, point.run)
    assert (model.vocab, model.mlp.hidden) == (257, 4 * 384)
    assert plan.nodes[point.run].spec.schedule.floor == 1e-4
    assert sorted(point.evals) == ["held_out", "speech"]


def test_the_grid_of_recall_is_what_it_says(compile_: Compile) -> None:
    plan = plan_of(compile_("mqar"))
    seen = set()
    for point in plan.points:
        if point.grid != "figure2":
            continue
        train = plan.nodes[point.run].spec
        model, data = model_of(plan, point.run), plan.nodes[train.data].spec
        kind = model.mixer.lmc_variant
        assert (data.seq_len, data.pairs, train.batch) in {(64, 4, 512), (128, 8, 512), (256, 16, 256)}
        assert model.positions == (Learned(length=data.seq_len) if kind == "attention" else Nope())
        assert point.name == f"{kind}-L{data.seq_len}-d{model.width}-lr{train.optim.lr:.1e}"
        assert (model.vocab, train.steps) == (8192, None)
        assert not (kind == "hyena" and model.width > 256)
        if kind == "hyena":
            assert model.mixer.l_max == data.seq_len
        seen.add((kind, model.width, train.optim.lr))
    assert {lr for _, _, lr in seen} == {1e-4, 4.641588833612779e-4, 2.154434690031884e-3, 1e-2}
    assert len(seen) == 4 * 4 * 4 - 4


def test_the_tuning_splits_over_a_mesh_or_runs_on_one_device(compile_: Compile) -> None:
    plan = plan_of(compile_("smollm2"))
    (point,) = plan.points
    train = plan.nodes[point.run].spec
    data = plan.nodes[train.data].spec
    assert (train.batch, train.steps, train.schedule.warmup) == (48, 200_000_000 // (48 * 1024), 81)
    assert train.secrets == Secrets(hub=Env("HF_TOKEN"))
    assert (data.count, data.seq_len, data.tokenizer) == (10_000, 1024, model_of(plan, point.run).tokenizer)
    assert plan.nodes[train.mesh].spec.devices == 6
    smoke = plan_of(compile_("smollm2", overlays=("smoke",)))
    (point,) = smoke.points
    assert smoke.nodes[point.run].spec.mesh is None
    assert (model_of(smoke, point.run).layers, model_of(smoke, point.run).weights) == (2, None)


def test_probes_attach_to_what_they_watch(compile_: Compile) -> None:
    plan = plan_of(compile_("probes"))
    (point,) = plan.points
    assert plan.nodes[point.run].spec.steps == 2000
    assert sorted(point.probes) == ["flow", "focus"]
    focus = plan.nodes[point.probes["focus"]].spec
    assert plan.nodes[focus.on.data].spec.seq_len == 256
    assert focus.on.data == plan.nodes[point.run].spec.data


@pytest.mark.parametrize(
    ("name", "edit", "code", "at"),
    [
        ("shakespeare", ("heads = 6", "heads = 7"), "LM0401", "7"),
        ("shakespeare", ("layers    = 6", "layer = 6"), "LM0203", "layer"),
        ("shakespeare", ('split = "valid"', "split = valid"), "LM0207", "valid"),
        ("itl", ("[^\\n]{1,64}", "[^\\n]*?"), "LM0604", "*?"),
        ("mqar", ("hyena { l_max = data.seq_len }", "hyena { l_max = 128 }"), "LM0507", None),
        ("mqar", ("data.pairs = [4, 8, 16]", "data.pairs = [4, 8, 65]"), "LM0507", None),
        ("mqar", ("data.pairs = [4, 8, 16], ", "data.pairs = [4, 8], "), "LM0503", None),
        ("mqar", ("vocab = recall.vocab", "vocab = 100"), "LM0507", None),
        ("mqar", ('slice = ["pairs"]', 'slice = ["layers"]'), "LM0507", None),
        ("mqar", ("exact.accuracy >= 0.99", "exact.loss >= 0.99"), "LM0507", None),
        ("mqar", ("mamba { state = 16,", "mamba { states = 16,"), "LM0203", "states"),
        ("smollm2", ("devices = 6, dp = 2, tp = 3", "devices = 4, dp = 2, tp = 2"), "LM0402", "2"),
        ("smollm2", ("devices = 6", "devices = 8"), "LM0404", "8"),
        ("smollm2", ("batch = 48", "batch = 50"), "LM0308", "batch % (mesh.dp * micro_batch) == 0"),
        ("smollm2", ("wall = 2h", "wall = 16GiB"), "LM0302", "16GiB"),
        ("probes", ("mixer.weights", "mixer.weighs"), "LM0506", '"blocks.*.mixer.weighs"'),
        ("probes", ("value = mean(entropy)", "value = mean(entropie)"), "LM0506", "entropie"),
        ("probes", ('split = "valid", examples', 'split = "test", examples'), "LM0304", '"test"'),
    ],
)
def test_a_mistake_in_an_example_is_told(
    name: str, edit: tuple[str, str], code: str, at: str | None, compile_: Compile
) -> None:
    found = compile_(name, edit).diagnostics.items
    assert {d.code for d in found} == {code}
    if at is not None:
        assert found[0].span is not None
        assert found[0].span.text == at


@pytest.mark.parametrize(
    ("name", "what", "line"),
    [
        ("mqar", "data variant `mqar`", "mqar.lmspec:2:6"),
        ("smollm2", "`devices` of `mesh`", "smollm2.lmspec:3:22"),
        ("probes", "`at` of probe variant `activations`", "probes.lmspec:6:12"),
    ],
)
def test_what_cannot_be_run_is_told_before_anything_is_done(
    name: str,
    what: str,
    line: str,
    compile_: Compile,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    compile_("shakespeare")
    monkeypatch.chdir(tmp_path)
    assert main(["check", f"{name}.lmspec"]) == 0
    assert main(["run", f"{name}.lmspec"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error[LM0212]: this version checks {what}")
    assert line in said
    assert "^" in said.splitlines()[2]
    assert not (tmp_path / "runs").exists()
