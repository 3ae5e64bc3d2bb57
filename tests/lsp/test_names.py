"""Names: what the compiler makes of a file is the judge of what the editor's side says about its words."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lmc.compiler.lsp.complete import complete
from lmc.compiler.lsp.names import Occurrence
from lmc.compiler.lsp.references import NAMED, references, rename
from lmc.compiler.lsp.workspace import Analysis, Workspace
from lmc.compiler.pipeline import compile_spec
from lmc.compiler.syntax.lexer import grammar

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
FILES = sorted(EXAMPLES.glob("*.lmspec"))
SMALL = [path for path in FILES if path.name != "memory.lmspec"]
MADE = """\
edition = 1
let wide = 64
let widths = [w * 2 for w in [16, wide] if w > 0]
tokenizer bytes : byte { specials = ["<|eod|>"] }
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 64 }
model tiny : transformer {
  tokenizer = bytes, layers = 1, width = wide
  mixer : attention { heads = this.kv_heads, kv_heads = 4 }
  mlp = swiglu { hidden = 4 * width }
}
train base {
  model = tiny, data = book, batch = 2, seed = 3
  stage short { steps = 10 }
  stage long  { steps = 20, data.seq_len = 128 }
  optim : adamw { group norms { match = "*norm*", weight_decay = 0.0 } }
  optim.lr = 1e-3
  stop { when = held_out.loss < 1.0 }
}
train other : base {
  stage long { steps = 40 }
  optim.norms.weight_decay = 0.5
  short.steps = 12
}
eval held_out : loss { run = base, every = 5 }
grid sweep {
  base = other
  over { let scale = [1, 2], seed = [0, 1], model.mixer = [attention { heads = 2 }, gated {}] }
  zip pairs { batch = [2, 4], data.seq_len = [32, 64] }
  set { optim.lr = 1e-3 * scale }
  where = scale < 3
  name = f"{scale}-{seed}-{batch}-{model.mixer.kind}"
}
overlay quick : sweep {
  over { seed = [0] }
  zip pairs { batch = [2, 4], data.seq_len = [32, 64] }
  set { data.order = "replace" }
}
plot curve : line {
  from = sweep, x = batch, y = mean(held_out.loss), color = model.mixer.kind
  where = model.width > 32
}
assert file.wide == 64 : f"wide is {wide:d}"
"""


def analysed(path: Path) -> tuple[Workspace, Analysis]:
    workspace = Workspace()
    return workspace, workspace.analysis(path)


def occurrences(analysis: Analysis) -> tuple[Occurrence, ...]:
    assert analysis.names is not None
    return analysis.names.of(str(analysis.path))


def written(tmp_path: Path) -> Path:
    path = tmp_path / "made.lmspec"
    path.write_text(MADE, encoding="utf-8")
    return path


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_word_of_the_examples_is_known(path: Path) -> None:
    analysis = analysed(path)[1]
    known = {occurrence.span.start for occurrence in occurrences(analysis)}
    words = [t for t in grammar().lex(analysis.source.text) if t.type == "NAME"]
    assert words
    assert [f"{t.line}: {t}" for t in words if t.start_pos not in known] == []


def test_every_word_of_a_file_with_every_form_is_known(tmp_path: Path) -> None:
    analysis = analysed(written(tmp_path))[1]
    assert [d.message for d in analysis.diagnostics if d.severity == "error"] == []
    known = {occurrence.span.start for occurrence in occurrences(analysis)}
    words = [t for t in grammar().lex(analysis.source.text) if t.type == "NAME"]
    assert [f"{t.line}: {t}" for t in words if t.start_pos not in known] == []


def definitions(analysis: Analysis) -> Iterator[Occurrence]:
    for occurrence in occurrences(analysis):
        if occurrence.defines and occurrence.symbol.role in NAMED:
            yield occurrence


WATCHED = ("held_out", "unseen")
"""Evaluations in a stopping condition, which is kept as it is written; so are names of tables and of parts."""


def ids(path: Path) -> list[str]:
    """What the runs of a file are: names are no part of it."""
    compiled = compile_spec(path)
    assert [d.message for d in compiled.diagnostics.items if d.severity == "error"] == []
    assert compiled.plan is not None
    return sorted(point.run for point in compiled.plan.points)


def assert_renaming_changes_nothing(path: Path, copy: Path) -> None:
    """Give every name of a file another one, each in a copy: the same runs, and the old name is gone."""
    workspace, analysis = analysed(path)
    before = ids(path)
    found = list(definitions(analysis))
    assert found
    for number, occurrence in enumerate(found):
        edits = rename(workspace, analysis, occurrence.span.start, f"zzz{number}")
        text = analysis.source.text
        for edit in sorted(edits, key=lambda edit: -edit.span.start):
            text = text[: edit.span.start] + edit.text + text[edit.span.end :]
        copy.write_text(text, encoding="utf-8")
        if occurrence.symbol.role == "part" or occurrence.symbol.name in WATCHED:
            assert len(ids(copy)) == len(before)  # the name is part of what a run is
        else:
            assert ids(copy) == before, occurrence.symbol
        assert len(edits) == len(references(workspace, analysis, occurrence.span.end))


@pytest.mark.parametrize("path", SMALL, ids=lambda path: path.stem)
def test_an_example_with_other_names_is_the_same_experiment(path: Path, tmp_path: Path) -> None:
    (tmp_path / "templates").symlink_to(EXAMPLES / "templates")
    for file in EXAMPLES.glob("*.txt"):
        (tmp_path / file.name).symlink_to(file)
    copy = tmp_path / path.name
    copy.write_text(path.read_text("utf-8"), encoding="utf-8")
    assert_renaming_changes_nothing(copy, tmp_path / f"renamed_{path.name}")


def test_a_file_with_every_form_and_other_names_is_the_same_experiment(tmp_path: Path) -> None:
    assert_renaming_changes_nothing(written(tmp_path), tmp_path / "renamed.lmspec")


PROPOSED = ("field", "variant", "block", "kind", "function", "property", "part", "let", "variable", "column")


@pytest.mark.parametrize("path", [*FILES, None], ids=lambda path: "made" if path is None else path.stem)
def test_every_word_is_proposed_where_it_stands(path: Path | None, tmp_path: Path) -> None:
    """With all before it, and nothing behind it, as when it is typed."""
    analysis = analysed(path or written(tmp_path))[1]
    text = analysis.source.text
    missing = []
    for occurrence in occurrences(analysis):
        symbol, start = occurrence.symbol, occurrence.span.start
        if symbol.role not in PROPOSED or occurrence.defines:
            continue
        if symbol.role == "variable" and symbol.definition is not None and symbol.definition.start > start:
            continue  # the body of a comprehension stands before its variable
        proposed = {item.label.rpartition(".")[2] for item in complete(analysis, start).items}
        proposed |= {item.label.partition(".")[0] for item in complete(analysis, start).items}
        if occurrence.span.text.strip('"') not in proposed:
            missing.append(f"{occurrence.span.line}: {symbol.role} {occurrence.span.text}")
    assert missing == []
    assert text


def test_names_go_to_where_they_are_made(tmp_path: Path) -> None:
    """By hand: of each name of a kind of form the line of its definition."""
    analysis = analysed(written(tmp_path))[1]
    lines = MADE.splitlines()
    told = {
        (o.span.line, o.span.text): o.symbol.definition.line
        for o in occurrences(analysis)
        if o.symbol.definition is not None
    }

    def line(start: str) -> int:
        return next(number for number, text in enumerate(lines, 1) if text.strip().startswith(start))

    assert told[line("model tiny"), "tiny"] == line("model tiny")
    assert told[line("let widths"), "wide"] == line("let wide")
    assert told[line("stage long { steps = 40"), "long"] == line("stage long  {")
    assert told[line("short.steps"), "short"] == line("stage short")
    assert told[line("optim.norms"), "norms"] == line("optim : adamw")
    assert told[line("set { optim"), "scale"] == line("over { let scale")
    assert told[line("overlay quick"), "sweep"] == line("grid sweep")
    assert told[line("stop {"), "held_out"] == line("eval held_out")
    assert told[line("assert file"), "wide"] == line("let wide")
