"""`lmc import`: a configuration becomes a spec whose runs are, value by value, those that its codebase would train."""

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from lmc.compiler.cli import main
from lmc.compiler.format.format import format_source
from lmc.compiler.interchange.importing import Imported, import_configurations
from lmc.compiler.pipeline import compile_spec
from lmc.runtime.training.schedule import value_at
from lmc.spec.diagnostic import Diagnostics
from lmc.spec.plan import Plan, Point
from lmc.spec.span import Source
from lmc.spec.train import Train

from ..support.configurations import (
    ITL,
    LINGUA,
    flat,
    itl_means,
    itl_runs,
    lingua_hidden,
    lingua_multiplier,
)


def imported(folder: Path, *texts: str) -> tuple[Imported, Plan]:
    """What files become, and the plan that the spec compiles to without a word, but for runs that are one."""
    paths = []
    for number, text in enumerate(texts):
        paths.append(folder / f"run_{number}.yaml")
        paths[-1].write_text(text, encoding="utf-8")
    diagnostics = Diagnostics()
    found = import_configurations(paths, diagnostics)
    assert found is not None, [d.message for d in diagnostics.items]
    assert {d.code for d in diagnostics.items} <= {"LM1003", "LM1005"}
    assert format_source(Source("imported", found.text), diagnostics) == found.text
    spec = folder / "imported.lmspec"
    spec.write_text(found.text, encoding="utf-8")
    compiled = compile_spec(spec)
    assert [d.message for d in compiled.diagnostics.items if d.code != "LM0512"] == []
    assert compiled.plan is not None
    return found, compiled.plan


def runs(plan: Plan) -> list[Point]:
    default = {target.name for target in plan.targets if target.default}
    return [point for point in plan.points if point.grid in default]


def means(plan: Plan, point: Point) -> dict[str, Any]:
    """What a run of a plan is, in the words of `itl_means`."""
    train: Train = plan.nodes[point.run].spec
    model, data = plan.nodes[train.model].spec, plan.nodes[train.data].spec
    assert plan.nodes[data.tokenizer].spec.specials == ("<|user|>", "<|assistant|>", "<|database|>", "<|eod|>")
    assert (model.positions.unit, train.optim.decay, data.order) == ("turns", "all", "replace")
    return {
        "mode": data.mode,
        "count": data.count,
        "seq_len": data.seq_len,
        "data_seed": data.seed,
        "vocab": model.vocab,
        "width": model.width,
        "layers": model.layers,
        "heads": model.mixer.heads,
        "kv_heads": model.mixer.kv_heads,
        "hidden": model.mlp.hidden,
        "theta": model.positions.theta,
        "eps": model.norm.eps,
        "tied": model.tied,
        "steps": train.steps,
        "batch": train.batch,
        "lr": train.optim.lr,
        "betas": train.optim.betas,
        "weight_decay": train.optim.weight_decay,
        "clip": train.optim.clip,
        "warmup": train.schedule.warmup,  # type: ignore[union-attr]
        "floor": pytest.approx(train.schedule.floor),  # type: ignore[union-attr]
        "seed": train.seed,
    }


def absolute(folder: Path, path: str) -> str:
    return str((folder / path).resolve())


def same_runs(plan: Plan, expected: list[dict[str, Any]]) -> None:
    def key(run: dict[str, Any]) -> list[str]:
        return [str(value) for name, value in run.items() if name != "floor"]

    found = sorted((means(plan, point) for point in runs(plan)), key=key)
    assert found == sorted(expected, key=key)


def with_grid(text: str, grid: str) -> str:
    return text.replace("  slurm:\n", f"  grid:\n{grid}  slurm:\n")


def test_one_run_of_itl_is_carried_over(tmp_path: Path) -> None:
    _, plan = imported(tmp_path, ITL)
    same_runs(plan, [itl_means(run) for run in itl_runs(ITL)])
    (point,) = runs(plan)
    train = plan.nodes[point.run].spec
    assert (train.every.log, train.every.checkpoint, train.keep.last) == (20, 500, 2)
    evaluation = plan.nodes[point.evals["exact"]].spec
    assert (evaluation.match, evaluation.every, len(evaluation.protocols)) == ("ends", 2000, 1)


GRIDS = {
    "lists": "    data:\n      nb_data: [8, 16]\n      key: [qatool, qa]\n    model:\n      emb_dim: [4, 8, 12]\n",
    "dotted": "    data.nb_data: [8, 16]\n    optim.lr: [1e-3, 3e-4]\n",
    "python": '    data.nb_data: "[2**i for i in range(1, 6)]"\n    model.emb_dim: list(range(4, 20, 4)) + [88, 96]\n',
    "one value": "    model:\n      emb_dim: [32]\n      nb_layers: [1, 2]\n",
    "floor follows": "    optim:\n      lr_min_ratio: [0, 0.1]\n      lr: [1e-3, 1e-4]\n",
    "same value": "    data:\n      batch_size: [8, 16]\n    optim:\n      grad_acc_steps: [1, 2, 4]\n",
    "warm-up": "    optim:\n      warmup: [0, 10]\n      steps: [100, 1_000]\n",
    "seeds": "    orchestration.utils.seed: [1, 2, 3]\n    model.block.nb_heads: [1, 2]\n",
    "vocabulary": "    model:\n      vocab_size: [260, 300]\n      weight_tying: [true, false]\n",
}


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_a_grid_of_itl_gives_the_runs_of_its_launcher(grid: str, tmp_path: Path) -> None:
    text = with_grid(ITL, grid)
    _, plan = imported(tmp_path, text)
    expected = [itl_means(run) for run in itl_runs(text)]
    assert len(expected) > 1
    same_runs(plan, expected)


def test_a_grid_string_stays_an_expression(tmp_path: Path) -> None:
    found, _ = imported(tmp_path, with_grid(ITL, GRIDS["python"]))
    assert "[2 ** i for i in range(1, 6)]" in found.text
    assert "range(4, 20, 4) + [88, 96]" in found.text


def test_seeds_become_seeds(tmp_path: Path) -> None:
    found, plan = imported(tmp_path, with_grid(ITL, GRIDS["seeds"]))
    assert re.search(r"^  seeds += \[1, 2, 3\]$", found.text, re.MULTILINE)
    assert len(runs(plan)) == 6


@pytest.mark.parametrize("model", ["nb_kv_heads: 1", "hidden_dim: 100", "rope_theta: 5e5", "qkv_bias: true"])
def test_options_of_a_block_are_carried_over(model: str, tmp_path: Path) -> None:
    text = ITL.replace("      nb_heads: 2\n", f"      nb_heads: 2\n      {model}\n")
    _, plan = imported(tmp_path, text)
    same_runs(plan, [itl_means(run) for run in itl_runs(text)])
    mixer = plan.nodes[plan.nodes[runs(plan)[0].run].spec.model].spec.mixer
    assert mixer.bias == ("qkv" if "bias" in model else "none")


def test_near_copies_become_a_base_and_a_grid(tmp_path: Path) -> None:
    """55 hand-copied files: 5 data folders x 11 widths, each with a device and a folder of its own."""
    texts = []
    for number, (alpha, width) in enumerate(itertools.product((0, 0.25, 0.5, 0.75, 1), range(8, 96, 8))):
        text = ITL.replace("emb_dim: 48", f"emb_dim: {width}").replace("logs/recall", f"logs/run_{number}")
        text = text.replace("    key: qatool\n", f"    key: qatool\n    data_dir: $HOME/data_{alpha}\n")
        text = text.replace("    tp: 1\n", f"    tp: 1\n    device: {number % 2}\n") if number % 4 else text
        texts.append(text)
    assert len(texts) == 55
    found, plan = imported(tmp_path, *texts)
    assert sorted(point.axes["model.width"] for point in runs(plan)) == list(range(8, 96, 8))
    apart = {left.path for left in found.left if "differs between the files" in left.reason}
    assert apart == {"launcher.log_dir", "run_config.data.data_dir", "run_config.cluster.device"}
    assert found.text.count("model.width") == 1
    assert len(found.text.splitlines()) < 90


def test_a_product_in_near_copies_becomes_two_axes(tmp_path: Path) -> None:
    texts = [
        ITL.replace("emb_dim: 48", f"emb_dim: {width}").replace("lr: 2e-3", f"lr: {lr}")
        for width, lr in itertools.product((16, 32), ("1e-3", "5e-4", "0.0001"))
    ]
    found, plan = imported(tmp_path, *texts)
    same_runs(plan, [itl_means(run) for text in texts for run in itl_runs(text)])
    assert re.search(r"over \{[^}]*optim.lr[^}]*\}", found.text)
    assert "zip" not in found.text


def test_what_differs_in_step_becomes_a_zip_beside_what_does_not(tmp_path: Path) -> None:
    texts = [
        ITL.replace("emb_dim: 48", f"emb_dim: {width}")
        .replace("lr: 2e-3", f"lr: {lr}")
        .replace("seed: 11", f"seed: {s}")
        for (width, lr), s in itertools.product(((16, "3e-3"), (32, "2e-3"), (64, "1e-3")), (1, 2))
    ]
    found, plan = imported(tmp_path, *texts)
    same_runs(plan, [itl_means(run) for text in texts for run in itl_runs(text)])
    assert "zip" in found.text
    assert "seeds" in found.text


def test_two_pairs_in_step_become_two_zips(tmp_path: Path) -> None:
    texts = [
        ITL.replace("emb_dim: 48", f"emb_dim: {width}")
        .replace("lr: 2e-3", f"lr: {lr}")
        .replace("nb_data: 96", f"nb_data: {count}")
        .replace("steps: 20_000", f"steps: {steps}")
        for (width, lr), (count, steps) in itertools.product(((16, "3e-3"), (32, "2e-3")), ((8, 100), (16, 200)))
    ]
    found, plan = imported(tmp_path, *texts)
    same_runs(plan, [itl_means(run) for text in texts for run in itl_runs(text)])
    assert found.text.count("zip ") == 2


def test_what_only_some_copies_say_has_its_default_in_the_others(tmp_path: Path) -> None:
    texts = [ITL, ITL.replace("nb_layers: 3", "nb_layers: 3\n    norm_eps: 1e-6")]
    _, plan = imported(tmp_path, *texts)
    same_runs(plan, [itl_means(run) for text in texts for run in itl_runs(text)])


def test_schedules_that_differ_become_blocks_of_an_axis(tmp_path: Path) -> None:
    texts = [ITL, ITL.replace("    warmup: 40", "    scheduler: constant\n    warmup: 40")]
    _, plan = imported(tmp_path, *texts)
    found = [plan.nodes[point.run].spec.schedule for point in runs(plan)]
    assert sorted(type(schedule).__name__ for schedule in found) == ["Constant", "Cosine"]


def test_copies_with_the_same_grid_multiply(tmp_path: Path) -> None:
    grid = "    model.emb_dim: [4, 8]\n"
    texts = [with_grid(ITL.replace("key: qatool", f"key: {key}"), grid) for key in ("qa", "qatool")]
    _, plan = imported(tmp_path, *texts)
    same_runs(plan, [itl_means(run) for text in texts for run in itl_runs(text)])


def test_one_run_of_lingua_is_carried_over(tmp_path: Path) -> None:
    _, plan = imported(tmp_path, LINGUA)
    config = yaml.safe_load(LINGUA)
    values = flat(config)
    (point,) = runs(plan)
    train = plan.nodes[point.run].spec
    model, data = plan.nodes[train.model].spec, plan.nodes[train.data].spec
    tokenizer = plan.nodes[data.tokenizer].spec
    assert point.name == "tiny_llama"
    assert train.steps == values["steps"]
    assert train.batch == values["data.batch_size"] * values["grad_acc_steps"]
    assert train.micro_batch == values["data.batch_size"]
    assert train.seed == values["seed"]
    assert train.optim.lr == float(values["optim.lr"])
    assert train.optim.clip == values["optim.clip"]
    assert train.optim.weight_decay == values["optim.weight_decay"]
    assert (train.optim.betas, train.optim.eps, train.optim.decay) == ((0.9, 0.95), 1e-8, "all")
    assert train.schedule.warmup == values["optim.warmup"]
    assert train.schedule.floor == pytest.approx(values["optim.lr_min_ratio"] * float(values["optim.lr"]))
    assert train.precision.compute == values["distributed.model_dtype"]
    assert (train.precision.params, train.compile) == ("fp32", True)
    assert train.every.checkpoint == values["checkpoint.dump.every"]
    assert train.every.eval == values["checkpoint.eval.every"]
    assert train.every.log == values["logging.freq"]
    assert train.keep.last == values["checkpoint.dump.keep"]
    assert (train.track.project, train.track.entity) == ("tiny", "us")
    assert (model.width, model.layers) == (values["model.dim"], values["model.n_layers"])
    assert (model.mixer.heads, model.mixer.kv_heads) == (values["model.n_heads"], values["model.n_kv_heads"])
    assert model.positions.theta == values["model.rope_theta"]
    assert model.mlp.hidden == lingua_hidden(values["model.dim"])
    assert model.init.residual == "depth"
    assert data.seq_len == values["data.seq_len"]
    assert data.seed == values["data.seed"]
    assert absolute(tmp_path, data.source.files.pattern) == "/scratch/data/fineweb_sample/*.chunk.*.jsonl"
    assert tokenizer.vocab == 258
    assert data.document_end in tokenizer.specials
    held_out = plan.nodes[point.evals["held_out"]].spec
    assert (held_out.split, held_out.examples) == ("valid", 10 * train.batch)


@pytest.mark.parametrize(
    ("written", "multiple", "multiplier"),
    [("", 256, None), ("  multiple_of: 64\n", 64, None), ("  ffn_dim_multiplier: 1.3\n", 256, 1.3)],
)
def test_hidden_sizes_are_those_of_lingua_for_every_width(
    written: str, multiple: int, multiplier: float | None, tmp_path: Path
) -> None:
    dims = [12, 96, 384, 768, 1020, 2052, 4104]
    text = LINGUA.replace("  dim: 768\n", f"  dim: {dims}\n{written}").replace("n_heads: 12", "n_heads: 2")
    text = text.replace("  n_kv_heads: 4\n", "")
    _, plan = imported(tmp_path, text)
    models = [plan.nodes[plan.nodes[point.run].spec.model].spec for point in runs(plan)]
    assert {model.width: model.mlp.hidden for model in models} == {
        dim: lingua_hidden(dim, multiple, multiplier) for dim in dims
    }


@pytest.mark.parametrize("kind", ["cosine", "linear", "constant", "inv_sqrt", "wsd"])
@pytest.mark.parametrize(("warmup", "steps"), [(50, 400), (400, 400), (1000, 400), (0, 400)])
def test_learning_rates_are_those_of_lingua_at_every_step(kind: str, warmup: int, steps: int, tmp_path: Path) -> None:
    text = LINGUA.replace("steps: 6000", f"steps: {steps}").replace(
        "warmup: 500", f"warmup: {warmup}\n  scheduler: {kind}"
    )
    _, plan = imported(tmp_path, text)
    train = plan.nodes[runs(plan)[0].run].spec
    for step in range(1, steps + (warmup != steps)):
        expected = 2e-3 * lingua_multiplier(kind, step, warmup, steps, 0.001)
        assert value_at(train.schedule, train.optim.lr, step, steps) == pytest.approx(expected, rel=1e-9), step


def test_several_sources_become_a_mixture(tmp_path: Path) -> None:
    text = LINGUA.replace("    fineweb_sample: 1.0\n", "    fineweb_sample: 0.7\n    dclm_1.0: 0.3\n")
    _, plan = imported(tmp_path, text)
    data = plan.nodes[plan.nodes[runs(plan)[0].run].spec.data].spec
    parts = {
        absolute(tmp_path, plan.nodes[part.data].spec.source.files.pattern): part.weight for part in data.parts.values()
    }
    assert parts == {"/scratch/data/fineweb_sample/*.chunk.*.jsonl": 0.7, "/scratch/data/dclm_1.0/*.chunk.*.jsonl": 0.3}
    assert (data.seq_len, data.seed) == (1024, 9)


@pytest.mark.parametrize(
    ("written", "variant", "end"),
    [
        ("name: sp\n    path: /tok/llama/tokenizer.model", "hf", "</s>"),
        ("name: tiktoken\n    path: /tok/llama3/tokenizer.model", "tiktoken", "<|end_of_text|>"),
    ],
)
def test_tokenizers_of_lingua(written: str, variant: str, end: str, tmp_path: Path) -> None:
    _, plan = imported(tmp_path, LINGUA.replace("name: bytes", written))
    data = plan.nodes[plan.nodes[runs(plan)[0].run].spec.data].spec
    tokenizer = plan.nodes[data.tokenizer].spec
    assert tokenizer.lmc_variant == variant
    assert absolute(tmp_path, tokenizer.file) == (
        "/tok/llama/tokenizer.json" if variant == "hf" else "/tok/llama3/tokenizer.model"
    )
    assert data.document_end == end
    assert end in tokenizer.specials


TIKTOKEN = """    implementation: tiktoken
    path: /tok/cl100k.bpe
    pattern: "(?i:'s|\\\\p{L}+)|\\\\s+(?!\\\\S)|\\"+"
"""


def test_a_split_pattern_is_carried_over_to_the_letter(tmp_path: Path) -> None:
    _, plan = imported(
        tmp_path, ITL.replace("    implementation: byte\n", TIKTOKEN).replace("    vocab_size: 260\n", "")
    )
    data = plan.nodes[plan.nodes[runs(plan)[0].run].spec.data].spec
    tokenizer = plan.nodes[data.tokenizer].spec
    assert tokenizer.pattern.regex
    assert tokenizer.pattern.text.replace('\\"', '"') == "(?i:'s|\\p{L}+)|\\s+(?!\\S)|\"+"


CASES = Path(__file__).parent / "cases"
GOLDEN = {
    "itl": [
        with_grid(ITL, GRIDS["python"] + "    data.key: [qatool, qa]\n    orchestration.utils.seed: list(range(3))\n")
    ],
    "lingua": [LINGUA.replace("  lr: 2e-3", "  lr: [2e-3, 1e-3]")],
    "copies": [
        ITL.replace("emb_dim: 48", f"emb_dim: {width}")
        .replace("lr: 2e-3", f"lr: {lr}")
        .replace("seed: 11", f"seed: {s}")
        for (width, lr), s in itertools.product(((16, "3e-3"), (32, "2e-3"), (64, "1e-3")), (1, 2))
    ],
}


@pytest.mark.parametrize("name", GOLDEN)
def test_specs_look_as_someone_would_write_them(name: str, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    found, _ = imported(tmp_path, *GOLDEN[name])
    golden = CASES / f"{name}.lmspec"
    if pytestconfig.getoption("update_golden"):
        golden.write_text(found.text, encoding="utf-8")
    assert found.text == golden.read_text("utf-8")


NOTHING = object()
OTHER = {
    "qatool": "qa",
    "bf16": "fp32",
    "bytes": "sp",
    "byte": NOTHING,
    "transformer": NOTHING,
    "current_depth": "global_depth",
}


def changed(text: str, number: int) -> tuple[str, str] | None:
    """The text with another value at a line that has one, and its path; None for a line without, or without another."""
    lines = text.splitlines()
    found = re.match(r"^(\s*)(- )?([\w<|>.]+): (.+)$", lines[number])
    if found is None:
        return None
    value = yaml.safe_load(found[4])
    other = OTHER.get(value, f"{value}x") if isinstance(value, str) and not re.match(r"[\d.]+e", value) else None
    if other is NOTHING:
        return None
    if other is None:
        other = str(not value).lower() if isinstance(value, bool) else "7e-4" if isinstance(value, str) else value * 2
        other = 1 if value == 0 and not isinstance(value, bool) else other
    lines[number] = f"{found[1]}{found[2] or ''}{found[3]}: {other}"
    return "\n".join(lines) + "\n", found[3]


@pytest.mark.parametrize(
    ("text", "number"),
    [(text, n) for text in (ITL, LINGUA) for n in range(len(text.splitlines())) if changed(text, n)],
    ids=lambda value: str(value) if isinstance(value, int) else value.split(":")[0],
)
def test_every_value_makes_a_difference_or_is_named(text: str, number: int, tmp_path: Path) -> None:
    """Nothing is dropped silently: with another value the spec is another, or the line is listed as left out."""
    other = changed(text, number)
    assert other is not None
    before, _ = import_text(tmp_path, text)
    assert before is not None
    after, diagnostics = import_text(tmp_path, other[0])
    if after is None:
        assert "error" in {d.severity for d in diagnostics.items}
        return
    told = {left.span.line for left in (*before.left, *after.left)}
    assert (number + 1 in told) != (statements(before) != statements(after))


def import_text(folder: Path, text: str) -> tuple[Imported | None, Diagnostics]:
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    diagnostics = Diagnostics()
    return import_configurations([path], diagnostics), diagnostics


def statements(found: Imported) -> list[str]:
    return [line for line in found.text.splitlines() if not line.startswith("#")]


def test_what_is_left_out_is_told_and_listed_in_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text(ITL, encoding="utf-8")
    assert main(["import", "c.yaml", "-o", "c.lmspec"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "c.lmspec: 1 run\n"
    text = Path("c.lmspec").read_text("utf-8")
    for path, written in (
        ("launcher.slurm.mem", "mem: 16G"),
        ("run_config.evaluation.data.batch_size", "batch_size: 512"),
    ):
        line = ITL[: ITL.index(written)].count("\n") + 1
        assert f"#   {path} (line {line}): " in text
        assert f"{path} (line {line})" in shown.err
    assert "warning[LM1005]" in shown.err
    assert "note: The templates of the dialogues" in shown.err


def test_a_spec_that_is_there_is_not_written_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text(ITL, encoding="utf-8")
    Path("c.lmspec").write_text("mine", encoding="utf-8")
    assert main(["import", "c.yaml", "-o", "c.lmspec"]) == 1
    assert "--force" in capsys.readouterr().err
    assert Path("c.lmspec").read_text("utf-8") == "mine"
    assert main(["import", "c.yaml", "-o", "c.lmspec", "--force"]) == 0
    assert main(["import", "c.yaml"]) == 0
    assert capsys.readouterr().out.endswith(Path("c.lmspec").read_text("utf-8"))


def test_the_spec_that_the_manual_shows_is_what_its_configuration_becomes(tmp_path: Path) -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "interchange.md").read_text("utf-8")
    section = page[page.index("## In: ") :]
    shown = re.search(r"^```yaml\n(.*?)^```$.*?^```lmspec\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    assert shown is not None
    path = tmp_path / "tiny.yaml"
    path.write_text(shown[1], encoding="utf-8")
    found = import_configurations([path], Diagnostics())
    assert found is not None
    assert found.text == shown[2]
