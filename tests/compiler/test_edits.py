"""Every edit that a diagnostic offers is applied: the mistake is gone, and none has come in its place."""

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import pytest

from lmc.compiler.diagnostics.codes import CODES
from lmc.compiler.pipeline import compile_spec
from lmc.spec.diagnostic import Diagnostic, Edit

HERE = Path(__file__).parent
FRAME = """tokenizer bytes : byte {}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 64 }
model small : transformer { tokenizer = bytes, layers = 2, width = 64, mixer : attention { heads = 2 } }
train base { model = small, data = book, steps = 100, batch = 8 }
eval held_out : loss { run = base }
"""
"""A file without mistakes; each case replaces one thing in it."""

SINGLE = {
    "kind": ("model small", "modle small", "LM0201"),
    "variant": (": transformer", ": transfromer", "LM0202"),
    "variant of a slot": ("mixer : attention", "mixer : atention", "LM0202"),
    "variant of an inline block": ("mixer : attention { heads = 2 }", "mixer = atention { heads = 2 }", "LM0202"),
    "variant of init": (
        "eval held_out",
        "train two : base { init : chekpoint { run = base } }\neval held_out",
        "LM0202",
    ),
    "field": ("layers = 2", "layrs = 2", "LM0203"),
    "nested field": ("heads = 2", "haeds = 2", "LM0203"),
    "name": ("model = small", "model = smal", "LM0207"),
    "quoted word": ("seq_len = 64", "seq_len = 64, order = shuffle", "LM0207"),
    "member": ("batch = 8", "batch = data.seq_length", "LM0207"),
    "quoted number": ("steps = 100", 'steps = "100"', "LM0301"),
    "quoted fraction": ("batch = 8 }", 'batch = 8, optim { lr = "1e-3" } }', "LM0301"),
    "quoted truth": ("width = 64", 'width = 64, tied = "true"', "LM0301"),
    "path": ('file("book.txt")', '"book.txt"', "LM0301"),
    "enumeration": ("seq_len = 64", 'seq_len = 64, order = "shufle"', "LM0304"),
    "own name": ("batch = 8 }", "batch = 8, seed = seed }", "LM0305"),
    "function": ("steps = 100", "steps = mx(10, 100)", "LM0306"),
    "tuple": ("batch = 8 }", "batch = 8, optim { betas = (0.9, 0.95) } }", "LM0108"),
    "single quotes": ("seq_len = 64", "seq_len = 64, order = 'shuffle'", "LM0108"),
    "single quotes around double ones": ("steps = 100", """steps = 100, assert 'a"b' != "c" """, "LM0108"),
    "true": ("width = 64", "width = 64, tied = True", "LM0108"),
    "two equals": ("steps = 100", "steps == 100", "LM0108"),
    "equals twice": ("steps = 100", "steps = = 100", "LM0108"),
    "chain": ("batch = 8 }", "batch = 8, assert 1 < batch < 10 }", "LM0108"),
    "chain of calls": ("batch = 8 }", "batch = 8, assert 1 <= min(batch, 4) < 10 }", "LM0108"),
    "bare fraction": ("batch = 8 }", "batch = 8, optim { weight_decay = .5 } }", "LM0108"),
    "comma": ("layers = 2, width", "layers = 2 width", "LM0102"),
    "a variant behind an equals sign": ("tokenizer bytes :", "tokenizer bytes =", "LM0102"),
    "a field with a colon": ("tokenizer bytes", "edition: 1\ntokenizer bytes", "LM0102"),
    "a list with a colon": ("byte {}", 'byte { specials: ["<|x|>"] }', "LM0102"),
    "a truth with a colon": ("width = 64", "width = 64, tied : true", "LM0102"),
    "a colon before a body": ("train base {", "train base: {", "LM0102"),
    "a comment with slashes": ("tokenizer bytes", "// bytes, of one book\ntokenizer bytes", "LM0102"),
    "a comment with slashes behind a value": ("steps = 100", "tokens = 1M // one pass over it\n", "LM0102"),
    "a dash in a name": ("eval held_out", "eval held-out", "LM0102"),
    "a dash in a field": ("batch = 8", "batch = 8, micro-batch = 4", "LM0102"),
    "values without a list": (
        "eval held_out",
        "grid g { base = base, over { model.width = 32, 64, 128 } }\neval held_out",
        "LM0102",
    ),
    "values that are half a list": (
        "eval held_out",
        "grid g { base = base, over { model.width = 32, 64] } }\neval held_out",
        "LM0102",
    ),
    "overlay": ("eval held_out", "overlay quick : bas { steps = 5 }\neval held_out", "LM0509"),
    "metric of a plot": (
        "eval held_out",
        "plot p : line { from = base, x = step, y = held_out.los }\neval held_out",
        "LM0506",
    ),
    "metric of stop": ("batch = 8 }", "batch = 8, stop { when = held_out.los < 1.0 } }", "LM0506"),
    "unit": ("steps = 100", "steps = 100s", "LM0302"),
    "a share of the steps": ("batch = 8 }", "batch = 8, schedule : cosine { warmup = 0.1 } }", "LM0301"),
    "an axis of one value": (
        "eval held_out",
        "grid g { base = base, over { batch = 8 } }\neval held_out",
        "LM0301",
    ),
    "a name of a grid without its f": (
        "eval held_out",
        'grid g { base = base, over { batch = [4, 8] }, seeds = [0, 1], name = "b{batch}" }\neval held_out',
        "LM0508",
    ),
    "seeds among the axes": (
        "eval held_out",
        "grid g { base = base, over { batch = [4, 8], seeds = [0, 1] } }\neval held_out",
        "LM0501",
    ),
    "a source": (
        "eval held_out",
        "grid g { base = base, over { batch = [4, 8] } }\n"
        "plot p : line { from = gg, x = batch, y = mean(held_out.loss) }\neval held_out",
        "LM0207",
    ),
    "a name of an import": (
        "tokenizer bytes",
        'import "beside.lmspec" as b\nlet y = b.xx\ntokenizer bytes',
        "LM0207",
    ),
    "constant": ("tokenizer bytes", "size = 3\ntokenizer bytes", "LM0214"),
    "edition": ("tokenizer bytes", "edition = 2\ntokenizer bytes", "LM0304"),
    "a control character": ("layers = 2", "layers = 2\0", "LM0106"),
    "import": ("tokenizer bytes", 'import "besid.lmspec" as b\ntokenizer bytes', "LM0211"),
    "reference to the wrong kind": ("model = small", "model = book", "LM0310"),
    "special token": (
        "eval held_out",
        'tokenizer other : byte { specials = ["<|user|>", "<|tool|>"] }\n'
        'store facts : sqlite { file = file("people.db"), table people : people {} }\n'
        'protocol p : sql { store = facts, call { open = "<f>", body = re"(?<name>[^<]+)", close = "</f>",\n'
        'handover = "<|tol|>" }, query = "SELECT occupation FROM people WHERE name = :name" }\n'
        'data d : dialogues { tokenizer = other, rows = facts.people, count = 8, templates = files("t"),\n'
        "seq_len = 64, protocols = [p] }\neval held_out",
        "LM0609",
    ),
    "mesh": ("train base {", "mesh two { devices = 3, dp = 2, tp = 1 }\ntrain base { mesh = two,", "LM0404"),
}


def check(text: str, folder: Path) -> list[Diagnostic]:
    path = folder / "case.lmspec"
    path.write_text(text, encoding="utf-8")
    (folder / "beside.lmspec").write_text("let x = 1\n", encoding="utf-8")
    (folder / "book.txt").write_text("a book", encoding="utf-8")
    return compile_spec(path).diagnostics.items


def errors(found: Iterable[Diagnostic]) -> list[tuple[str, str]]:
    return [(d.code, d.message) for d in found if d.severity == "error"]


def applied(text: str, edits: Iterable[Edit]) -> str:
    """Return the text with edits, the last first so that offsets hold; they must not overlap."""
    ordered = sorted(edits, key=lambda edit: edit.span.start, reverse=True)
    assert all(a.span.start >= b.span.end for a, b in pairwise(ordered))
    for edit in ordered:
        text = text[: edit.span.start] + edit.text + text[edit.span.end :]
    return text


def repaired(text: str, folder: Path) -> tuple[int, int]:
    """Apply the edits of each diagnostic of a file by itself; return of how many, and how many mistakes came of it."""
    found, count, new = check(text, folder), 0, 0
    for told in found:
        if told.edits:
            count += 1
            after = errors(check(applied(text, told.edits), folder))
            assert (told.code, told.message) not in after
            new += len(set(after) - set(errors(found)))
    return count, new


@pytest.mark.parametrize("name", SINGLE)
def test_one_mistake_is_one_message_and_its_edit_repairs_it(name: str, tmp_path: Path) -> None:
    right, wrong, code = SINGLE[name]
    assert FRAME.count(right) == 1
    text = FRAME.replace(right, wrong)
    found = check(text, tmp_path)
    assert [c for c, _ in errors(found)] == [code], found
    assert found[0].edits
    assert errors(check(applied(text, found[0].edits), tmp_path)) == []


HABITUAL = {
    "batch_size": ("batch = 8", "batch_size = 8", "batch"),
    "max_steps": ("steps = 100", "max_steps = 100", "steps"),
    "num_steps": ("steps = 100", "num_steps = 100", "steps"),
    "step, which a start has too": ("steps = 100", "step = 100", "steps"),
    "learning_rate": ("batch = 8", "batch = 8, learning_rate = 1e-3", "optim.lr"),
    "lr": ("batch = 8", "batch = 8, lr = 1e-3", "optim.lr"),
    "betas": ("batch = 8", "batch = 8, betas = [0.9, 0.95]", "optim.betas"),
    "eps, near to steps": ("batch = 8", "batch = 8, eps = 1e-8", "optim.eps"),
    "a rate of another variant": ("batch = 8", "batch = 8, optim : sgd {}, momentum = 0.5", "optim.momentum"),
    "optimizer": ("batch = 8", "batch = 8, optimizer { lr = 1e-3 }", "optim"),
    "an optimiser's name": ("batch = 8", "batch = 8, sgd { lr = 1e-3 }", "optim : sgd"),
    "a schedule's name": ("batch = 8", "batch = 8, cosine { warmup = 10 }", "schedule : cosine"),
    "n_layers": ("layers = 2", "n_layers = 2", "layers"),
    "num_hidden_layers": ("layers = 2", "num_hidden_layers = 2", "layers"),
    "hidden_size": ("width = 64", "hidden_size = 64", "width"),
    "d_model": ("width = 64", "d_model = 64", "width"),
    "num_heads": ("heads = 2", "num_heads = 2", "heads"),
    "n_heads behind its block": ("} }\ntrain", "window = 8 }, n_heads = 2 }\ntrain", "mixer.heads"),
    "attention": ("mixer : attention", "attention", "mixer : attention"),
    "vocab_size": ("layers = 2", "layers = 2, vocab_size = 512", "vocab"),
    "context_length": ("seq_len = 64", "context_length = 64", "seq_len"),
    "block_size": ("seq_len = 64", "block_size = 64", "seq_len"),
    "max_seq_len in a train": ("batch = 8", "batch = 8, max_seq_len = 32", "data.seq_len"),
    "an axis": ("eval held_out", "grid g { base = base, over { width = [32, 64] } }\neval held_out", "model.width"),
    "an axis of a rate": (
        "eval held_out",
        "grid g { base = base, over { lr = [1e-3, 1e-2] } }\neval held_out",
        "optim.lr",
    ),
}
"""Habits of other tools, and fields that are a block further in: what is written, and what an edit puts there."""


@pytest.mark.parametrize("name", HABITUAL)
def test_a_habitual_word_is_replaced_by_the_path_that_is_meant(name: str, tmp_path: Path) -> None:
    right, wrong, path = HABITUAL[name]
    frame = FRAME.replace("heads = 2 } }", "} }") if "behind" in name else FRAME
    assert frame.count(right) == 1
    text = frame.replace(right, wrong)
    told = next(told for told in check(text, tmp_path) if told.code in ("LM0203", "LM0501"))
    assert [edit.text for edit in told.edits] == [path]
    assert told.help.startswith((f"did you mean `{path}`", f"write {path} {{ ... }}"))
    assert errors(check(applied(text, told.edits), tmp_path)) == []


def test_an_edit_of_a_name_with_a_dash_changes_it_wherever_it_is_written(tmp_path: Path) -> None:
    text = FRAME.replace("bytes", "my-bytes") + "# my-bytes stay in a comment\n"
    (told,) = check(text, tmp_path)
    assert (told.code, told.help) == ("LM0102", "names have no `-`: write my_bytes")
    assert len(told.edits) == FRAME.count("bytes")
    assert errors(check(applied(text, told.edits), tmp_path)) == []


@pytest.mark.parametrize("code", [c for c in CODES.values() if c.examples()], ids=lambda code: code.code)
def test_edits_of_the_examples_of_codes_repair_them(code: object, tmp_path: Path) -> None:
    failing, _ = code.examples()  # type: ignore[attr-defined]
    assert repaired(failing, tmp_path)[1] == 0


def test_edits_of_the_golden_cases_repair_them(tmp_path: Path) -> None:
    texts = (HERE / "cases" / "meaning.lmspec").read_text("utf-8").split("---\n")
    texts += (HERE.parent / "syntax" / "cases" / "statements.lmspec").read_text("utf-8").split("---\n")
    lines = ["\n".join(line.partition(" #!")[0] for line in text.splitlines()) + "\n" for text in texts]
    assert sum(repaired(text, tmp_path)[0] for text in lines) >= 8


EDITED = {
    "LM0108",
    "LM0102",
    "LM0106",
    "LM0201",
    "LM0202",
    "LM0203",
    "LM0207",
    "LM0211",
    "LM0214",
    "LM0301",
    "LM0302",
    "LM0304",
    "LM0305",
    "LM0306",
    "LM0310",
    "LM0404",
    "LM0501",
    "LM0506",
    "LM0508",
    "LM0509",
    "LM0609",
}


def test_what_can_be_repaired_by_an_edit_is_tried_here() -> None:
    assert {code for _, _, code in SINGLE.values()} == EDITED


def test_the_frame_is_without_mistakes(tmp_path: Path) -> None:
    assert check(FRAME, tmp_path) == []
