"""One slip of the pen gives one message, where it is or where it is first missed."""

import subprocess
import sys
from pathlib import Path

import pytest

from lmc.compiler.diagnostics.render import render_text
from lmc.compiler.pipeline import compile_spec

SPEC = """tokenizer bytes : byte { specials = ["<|user|>", "<|assistant|>", "<|database|>"] }
store facts : sqlite { file = file("people.db"), table people : people {} }
protocol lookup : sql {
  store = facts
  call {
    open     = "<find>"
    body     = re"(?<attribute>[a-z_]+) of (?<name>[^\\n<]{1,64})"
    close    = "</find>"
    handover = "<|database|>"
  }
  query = "SELECT {attribute} FROM people WHERE name = :name"
  allow { attribute = facts.people.columns }
  reply { suffix = "<|assistant|>" }
  constrain = "inside"
}
data recall : dialogues {
  tokenizer = bytes, rows = facts.people, count = 8, templates = files("t/*.txt"), seq_len = 257
  protocols = [lookup]
}
model small : transformer {
  tokenizer = bytes, layers = 2, width = 64
  mixer : attention { heads = 2 }
}
train memory { model = small, data = recall, steps = 100, batch = 8 }
grid sweep {
  base = memory
  over {
    model.width = [32, 64]
    let scale = [1, 2]
  }
  set { optim.lr = 1e-3 * scale }
  seeds = range(2)
}
eval exact : answers { run = memory, protocols = recall.protocols }
plot widths : line { from = sweep, x = seed, y = mean(exact.accuracy) }
"""
SLIPS = {
    "a tokenizer's name": ("tokenizer bytes", "tokenizer byts", "LM0207", "bytes"),
    "a tokenizer without a name": ("tokenizer bytes :", "tokenizer :", "LM0209", "tokenizer"),
    "no tokenizer": (SPEC.splitlines(keepends=True)[0], "", "LM0207", "bytes"),
    "a store's name": ("store facts", "store fact", "LM0207", "facts"),
    "a table's name": ("table people", "table peopel", "LM0207", "people"),
    "a nested block": ("  call {", "  caall {", "LM0203", "caall"),
    "a field of a nested block": ("    open     =", "    opne     =", "LM0203", "opne"),
    "a pattern's bracket": ("[a-z_]+", "[a-z_+", "LM0611", ":name"),
    "a capture's name": ("(?<attribute>", "(?<atribute>", "LM0611", "{attribute}"),
    "a capture of a query": (":name", ":nmae", "LM0611", ":nmae"),
    "a reference of an allow list": ("facts.people.columns", ".people.columns", "LM0102", "."),
    "a special token": ('handover = "<|database|>"', 'handover = "<|databse|>"', "LM0609", '"<|databse|>"'),
    "a protocol's name": ("protocol lookup", "protocol lokup", "LM0207", "lookup"),
    "a data set's name": ("data recall", "data rceall", "LM0207", "recall"),
    "a reference to a model": ("model = small", "model = smal", "LM0207", "smal"),
    "a reference to a tokenizer": ("tokenizer = bytes, layers", "tokenizer = byes, layers", "LM0207", "byes"),
    "a kind": ("model small", "modle small", "LM0201", "modle"),
    "the kind of a base": ("train memory", "trian memory", "LM0201", "trian"),
    "a base": ("base = memory", "base = memry", "LM0207", "memry"),
    "a base of the wrong kind": ("base = memory", "base = small", "LM0310", "small"),
    "no value of a base": ("base = memory", "= memory", "LM0102", "="),
    "a train without a name": ("train memory", "train", "LM0209", "train"),
    "a field of a train": ("steps = 100", "stpes = 100", "LM0203", "stpes"),
    "a type": ("layers = 2", 'layers = "2"', "LM0301", '"2"'),
    "a unit": ("steps = 100", "steps = 100s", "LM0302", "100s"),
    "no brace behind a block": ("  mixer : attention { heads = 2 }", "  mixer : attention { heads = 2", "LM0103", "{"),
    "no brace behind a call": ('handover = "<|database|>"\n  }', 'handover = "<|database|>"', "LM0103", "{"),
    "no brace behind the axes": ("    let scale = [1, 2]\n  }", "    let scale = [1, 2]", "LM0103", "{"),
    "no brace before a body": ("train memory {", "train memory", "LM0102", "model"),
    "a brace too many": ("layers = 2,", "layers = 2 },", "LM0102", "}"),
    "an axis": ("    model.width = [32", "    model.widht = [32", "LM0501", "widht"),
    "a free axis": ("let scale", "lte scale", "LM0102", "="),
    "the name of a free axis": ("* scale", "* scal", "LM0207", "scal"),
    "the base of an evaluation": ("run = memory", "run = memroy", "LM0207", "memroy"),
    "a metric": ("exact.accuracy", "exact.acuracy", "LM0506", "acuracy"),
    "a grid's name": ("grid sweep", "grid sweeep", "LM0207", "sweep"),
    "a word of a query's allow list": ("allow { attribute", "allow { attrribute", "LM0611", "attrribute"),
    "the model of a train that a grid changes": ("model = small", "modle = small", "LM0203", "modle"),
    "a column of a plot": ("x = seed", "x = see", "LM0506", "see"),
    "a list without its bracket": ("= [32, 64]", "= 32, 64]", "LM0102", "64"),
    "no kind": ("train memory", "memory", "LM0201", "memory"),
    "a quote of a field": ('open     = "<find>"', 'open     = "<find>', "LM0104", '"'),
    "a string": ('"</find>"', '"</find>', "LM0104", '"'),
}


@pytest.mark.parametrize("name", SLIPS)
def test_one_slip_gives_one_message(name: str, tmp_path: Path) -> None:
    right, wrong, code, marked = SLIPS[name]
    assert right in SPEC
    path = tmp_path / "case.lmspec"
    path.write_text(SPEC.replace(right, wrong, 1), encoding="utf-8")
    found = compile_spec(path).diagnostics.items
    assert [(told.code, told.span and told.span.text) for told in found] == [(code, marked)]


def test_the_spec_is_without_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "case.lmspec"
    path.write_text(SPEC, encoding="utf-8")
    assert compile_spec(path).diagnostics.items == []


def test_an_unclosed_block_is_the_one_whose_brace_was_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "case.lmspec"
    path.write_text(SPEC.replace("    let scale = [1, 2]\n  }", "    let scale = [1, 2]"), encoding="utf-8")
    (told,) = compile_spec(path).diagnostics.items
    assert told.message == "block `over` is never closed"
    assert told.span is not None
    assert told.span.line == 27
    assert told.help == "add a `}` before line 32"


def test_an_edit_of_a_name_changes_every_place(tmp_path: Path) -> None:
    path = tmp_path / "case.lmspec"
    path.write_text(SPEC.replace("store facts", "store fact"), encoding="utf-8")
    (told,) = compile_spec(path).diagnostics.items
    assert [edit.span.text for edit in told.edits] == ["facts"] * 3
    assert [label.span.line for label in told.labels] == [12, 17]


TOLD = {
    "an assertion": ("batch = 8 }", "batch = 8\n  assert batch % 3 > model.layers }", "batch is 8, model.layers is 2"),
    "a point": ("let scale = [1, 2]", "micro_batch = [2, 16]", "first: model.width = 32, micro_batch = 16, seed = 0"),
}


@pytest.mark.parametrize("name", TOLD)
def test_values_are_told(name: str, tmp_path: Path) -> None:
    right, wrong, label = TOLD[name]
    path = tmp_path / "case.lmspec"
    path.write_text(SPEC.replace(right, wrong, 1).replace("1e-3 * scale", "1e-3"), encoding="utf-8")
    (told,) = [told for told in compile_spec(path).diagnostics.items if told.severity == "error"]
    assert label in (told.label, *(one.text for one in told.labels))


def test_the_failing_value_of_an_axis_is_marked(tmp_path: Path) -> None:
    path = tmp_path / "case.lmspec"
    path.write_text(SPEC.replace("[32, 64]", "[32, 33]"), encoding="utf-8")
    (told,) = compile_spec(path).diagnostics.items
    assert (told.code, told.span and told.span.text) == ("LM0507", "33")
    assert [label.span.line for label in told.labels] == [22]


def test_the_failing_value_is_marked_beside_one_that_python_takes_for_it(tmp_path: Path) -> None:
    path = tmp_path / "case.lmspec"
    path.write_text(SPEC.replace("model.width = [32, 64]", "model.tied = [true, 1]"), encoding="utf-8")
    (told,) = compile_spec(path).diagnostics.items
    assert (told.code, told.span and told.span.text) == ("LM0507", "1")


HELPS = {
    "heads before there is a mixer": (
        "layers = 2,",
        "layers = 2, num_heads = 2,",
        "did you mean `mixer.heads` of mixer `attention`?",
    ),
    "a rate of another optimiser": (
        "batch = 8",
        "batch = 8, momentum = 0.9",
        "did you mean `optim.momentum` of optim `sgd`?",
    ),
    "a field of two blocks": ("batch = 8", "batch = 8, tokenizer = bytes", "did you mean `model.tokenizer` or"),
    "a field of another kind": ("layers = 2,", "layers = 2, block_size = 64,", "`seq_len` is a field of data"),
    "a schedule in an optimiser": (
        "batch = 8",
        "batch = 8, optim { schedule : cosine {} }",
        "`schedule` is a field of train",
    ),
    "a dash in a reference": ("model = small", "model = my-model", "names have no `-`: my_model"),
    "a block further in": (
        "layers = 2,",
        "layers = 2, scaling : ntk {},",
        "`scaling` belongs into `positions { ... }`",
    ),
}
"""What has no edit, as it depends on what else is written."""


@pytest.mark.parametrize("name", HELPS)
def test_what_to_do_is_told(name: str, tmp_path: Path) -> None:
    right, wrong, help = HELPS[name]
    assert right in SPEC
    path = tmp_path / "case.lmspec"
    path.write_text(SPEC.replace(right, wrong, 1), encoding="utf-8")
    (told,) = compile_spec(path).diagnostics.items
    assert told.help.startswith(help)
    assert not told.edits


@pytest.mark.parametrize("written", ['"w{model.width}{scale}"', '"w{model.width}{scale}-{seed}"'])
def test_a_name_of_a_grid_that_lacks_its_f_is_told_so(written: str, tmp_path: Path) -> None:
    path = tmp_path / "case.lmspec"
    path.write_text(SPEC.replace("seeds = range(2)", f"seeds = range(2)\n  name = {written}"), encoding="utf-8")
    (told,) = compile_spec(path).diagnostics.items
    whole = 'f"w{model.width}{scale}-{seed}"'
    assert (told.code, told.help) == ("LM0508", f"braces are read in a text that begins with f: {whole}")
    assert [edit.text for edit in told.edits] == [whole]


def test_what_is_the_grids_own_is_moved_out_of_its_axes(tmp_path: Path) -> None:
    path = tmp_path / "case.lmspec"
    path.write_text(SPEC.replace("  over {\n", "  over {\n    ceiling = 8\n", 1), encoding="utf-8")
    (told,) = compile_spec(path).diagnostics.items
    assert (told.code, told.span and told.span.text) == ("LM0501", "ceiling")
    assert (told.message, told.help) == ("`ceiling` is the grid's own, not an axis", "write it beside `over`")


ON_THE_COMMAND_LINE = {
    "a field": ("memory.stesp=20", "LM0203", "did you mean `steps`"),
    "a block": ("memroy.steps=20", "LM0207", "did you mean `memory`?"),
    "an imported block": (
        "other.base.steps=60",
        "LM0207",
        "write train NAME : other.base {} into it, and --set NAME.steps=...",
    ),
}


@pytest.mark.parametrize("name", ON_THE_COMMAND_LINE)
def test_what_stands_on_the_command_line_is_offered_no_fix(name: str, tmp_path: Path) -> None:
    setting, code, help = ON_THE_COMMAND_LINE[name]
    path = tmp_path / "case.lmspec"
    path.write_text('import "other.lmspec" as other\n' + SPEC, encoding="utf-8")
    (tmp_path / "other.lmspec").write_text("train base { model = none, data = none }\n", encoding="utf-8")
    told = next(told for told in compile_spec(path, (), (setting,)).diagnostics.items if told.code == code)
    assert told.help.startswith(help)
    assert "[fix available]" not in render_text([told])


COMPUTED = {
    "a value below its bound": ("batch = 8 }", "batch = 0 }", "LM0303", "raise it ("),
    "a value above its bound": ("batch = 8 }", "batch = 8, loss { smoothing = 2.0 } }", "LM0303", "lower it ("),
    "a division by zero": ("batch = 8 }", "batch = 8 // 0 }", "LM0307", "change one of the numbers"),
    "a sum of a text": ("batch = 8 }", 'batch = 8 + "a" }', "LM0307", "write both sides as values of one type"),
    "an item": ("batch = 8 }", "batch = xs[2] }\nlet xs = [8, 16]", "LM0307", "there are 2, counted from 0"),
    "a field of a number": ("batch = 8 }", "batch = steps.x }", "LM0307", "write it without `.x`"),
    "what a new variant drops": (
        "batch = 8 }",
        "batch = 8, schedule : cosine { floor = 1e-4 } }\ntrain flat : memory { schedule : constant {} }",
        "LM0213",
        "if it is to stay, keep `cosine`",
    ),
}


@pytest.mark.parametrize("name", COMPUTED)
def test_what_to_do_about_a_value_is_told(name: str, tmp_path: Path) -> None:
    right, wrong, code, help = COMPUTED[name]
    path = tmp_path / "case.lmspec"
    path.write_text(SPEC.replace(right, wrong, 1).partition("grid sweep")[0], encoding="utf-8")
    (told,) = compile_spec(path).diagnostics.items
    assert (told.code, told.help[: len(help)]) == (code, help)


def test_what_words_may_mean_is_read_only_where_there_is_a_mistake(tmp_path: Path) -> None:
    asked = (
        "import sys; from pathlib import Path; from lmc.compiler.pipeline import compile_spec;"
        "compile_spec(Path(sys.argv[1]));"
        "print([name for name in sys.modules if name.endswith(('resolve.meant', 'syntax.habits'))])"
    )
    path = tmp_path / "case.lmspec"
    for text, read in ((SPEC, "[]"), (SPEC.replace("batch = 8", "batch_size = 8"), "['lmc.compiler.resolve.meant']")):
        path.write_text(text, encoding="utf-8")
        done = subprocess.run([sys.executable, "-c", asked, path], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == read
