"""Hover, completion, hints, tokens and formatting, asked over the protocol."""

import re
from pathlib import Path

import pytest
from support.lsp import Client

from lmc.compiler.lsp.workspace import Workspace

TEXT = """\
edition = 1
import "shared.lmspec" as sh
# Reads bytes 𝄞.
# Nothing else.
tokenizer bytes : byte { specials = ["<|eod|>"] }
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 64 }
model tiny : transformer {
  tokenizer = bytes
  layers = 1
  width = 32
  mixer : attention { heads = 4 }
}
train base { model = tiny, data = book, steps = 10, batch = 2, model.layers = 2 }
eval held_out : loss { run = base }
grid sweep {
  base = base
  over { model.width = [32, 64, 96], optim.lr = [1e-3, 1e-4] }
  seeds = range(2)
  where = model.width > 32
}
plot curve : line { from = sweep, x = model.width, y = mean(held_out.loss) }
let wide = 2 * 32
assert wide == 64 : f"𝄞 {wide}"
"""
SHARED = 'edition = 1\ntokenizer letters : byte { specials = ["<|eod|>", "<|user|>"] }\n'


@pytest.fixture
def editor(client: Client) -> Client:
    (client.root / "shared.lmspec").write_text(SHARED, encoding="utf-8")
    client.open("a.lmspec", TEXT)
    assert client.diagnostics("a.lmspec") == []
    return client


def place(text: str, word: str) -> tuple[int, int]:
    before = text[: text.index(word)]
    return before.count("\n"), len(before.rpartition("\n")[2].encode("utf-16-le")) // 2


def said(client: Client, word: str) -> str:
    found = client.ask("hover", "a.lmspec", *place(TEXT, word))
    text: str = found["contents"]["value"]
    return text


@pytest.mark.parametrize(
    ("word", "wanted"),
    [
        ("width = 32", ["**width**", "Int, at least 1, required", "Size of the residual stream.", "In channels."]),
        ("width = 32", ["width = 32", "set by own field: 32   a.lmspec:10:11"]),
        ("layers = 2", ["layers = 2", "set by own field: 2   a.lmspec:13:79", "over   own field: 1   a.lmspec:9:12"]),
        ("heads = 4", ["**heads**", "Number of query heads", "heads = 4"]),
        ("seq_len", ["**seq_len**", "In tokens."]),
        ("attention", ["mixer : attention", "Ainslie", "`kv_heads`"]),
        ("train base", ["**train**", "A training run"]),
        ("tiny : ", ["model tiny : transformer", "28,"]),
        ("bytes : ", ["tokenizer bytes : byte", "Reads bytes 𝄞.\nNothing else.", "257 tokens"]),
        ("range(2)", ["range([start,] end [, step])"]),
        ("sweep {", ["grid sweep", "12 points"]),
        ("wide = 2", ["let wide = 2 * 32", "= `64`"]),
        ("held_out.loss", ["eval held_out : loss"]),
        ("loss)", ["`held_out.loss`", "eval `held_out`"]),
        ("mean(held", ["mean(x)", "the axes that are left"]),
        ("x = model", ["x = model.width", "set by own field: model.width"]),
        ("width = [32", ["**width**", "Axis of grid `sweep`, 3 values: `32`, `64`, `96`"]),
        ("lr = [", ["Axis of grid `sweep`, 2 values: `0.001`, `0.0001`"]),
        ("import", ["Names another file"]),
        ("assert", ["A condition that must hold"]),
        ("over {", ["**over**", "Axes"]),
    ],
)
def test_hover(editor: Client, word: str, wanted: list[str]) -> None:
    text = said(editor, word)
    if word == "tiny : ":  # 4 x 32 x 32 + 3 x 32 x 128 + 2 x 32 a block, a norm, two tables of 257 rows
        wanted = ["model tiny : transformer", f"{4 * 32 * 32 + 3 * 32 * 128 + 64 + 32 + 2 * 257 * 32:,} parameters"]
    for part in wanted:
        assert part in text


def test_hover_of_parts_and_columns(client: Client) -> None:
    text = TEXT + (
        "plot steps : line { from = base, x = step, y = loss.train }\n"
        'store facts : sqlite { file = file("a.db"), table people : people {} }\n'
        "grid many { base = base, over { model.width = range(4, 84, 4), model.mixer = "
        "[attention { heads = 1 }, gated {}] }, zip z { let scale = [1, 2] } }\n"
    )
    (client.root / "shared.lmspec").write_text(SHARED, encoding="utf-8")
    client.open("a.lmspec", text)
    assert client.diagnostics("a.lmspec") == []
    for word, wanted in {
        "train }": "`loss.train`: a column of the records",
        "step, y": "`step`: a column of the records",
        "people : people": "table people : people",
        "width = range": "20 values: `4`, `8`, `12`, `16`, `20`, `24`, ..., `80`",
        "mixer = [": "2 values: `attention { heads = 1 }`, `gated {}`",
        "z { let": "zip z",
        "scale = [1": "Axis of grid `many`, 2 values: `1`, `2`",
    }.items():
        assert wanted in client.ask("hover", "a.lmspec", *place(text, word))["contents"]["value"], word


def test_nothing_is_said_about_nothing(editor: Client) -> None:
    assert editor.ask("hover", "a.lmspec", 17, 60) is None
    assert editor.ask("hover", "a.lmspec", *place(TEXT, "{ heads")) is None


def test_hints_tell_what_follows(editor: Client) -> None:
    whole = {"start": {"line": 0, "character": 0}, "end": {"line": 100, "character": 0}}
    params = {"textDocument": {"uri": editor.uri("a.lmspec")}, "range": whole}
    found = editor.request("textDocument/inlayHint", params)
    told = {(h["position"]["line"] + 1, h["label"]) for h in found}
    params_count = 4 * 32 * 32 + 3 * 32 * 128 + 64 + 32 + 2 * 257 * 32
    assert (5, "257 tokens") in told
    assert (7, f"{params_count:,} parameters") in told
    assert (8, "vocab 257") in told
    assert (11, "head size 8") in told
    assert (13, f"{10 * 2 * 64:,} tokens") in told
    assert (15, "12 points") in told
    some = {"start": {"line": 10, "character": 0}, "end": {"line": 11, "character": 0}}
    assert [h["label"] for h in editor.request("textDocument/inlayHint", {**params, "range": some})] == ["head size 8"]


def test_hints_count_runs_once_every_point_has_been_looked_at(tmp_path: Path) -> None:
    from threading import Event

    from lmc.compiler.lsp.hints import hints

    path = tmp_path / "a.lmspec"
    (tmp_path / "shared.lmspec").write_text(SHARED, encoding="utf-8")
    workspace = Workspace()
    workspace.write(path, TEXT)
    workspace.whole_analysis(path, Event())
    assert "8 of 12 points, 8 runs" in {hint.text for hint in hints(workspace.analysis(path), 0, len(TEXT))}


def proposed(client: Client, name: str, text: str) -> dict[str, str]:
    """What is proposed at the bar in a text, with what would be inserted."""
    at = text.index("¦")
    client.change(name, text.replace("¦", ""))
    line = text[:at].count("\n")
    column = len(text[:at].rpartition("\n")[2].encode("utf-16-le")) // 2
    items = client.ask("completion", name, line, column)
    assert [item["sortText"] for item in items] == sorted(item["sortText"] for item in items)
    return {item["label"]: item["textEdit"]["newText"] for item in items}


@pytest.mark.parametrize(
    ("ending", "wanted", "unwanted"),
    [
        ("¦", {"model": "model ", "import": 'import "" as '}, ["width", "tiny"]),
        ("model m : ¦", {"transformer": "transformer { }", "tiny": "tiny"}, ["attention", "bytes"]),
        ("model m : transformer {\n  ¦\n}", {"width": "width = ", "mixer": "mixer : ", "with": "with = []"}, ["heads"]),
        ("model m : transformer { mixer : ¦ }", {"attention": "attention { }"}, ["transformer", "swiglu"]),
        ("model m : transformer { mixer : attention { he¦ } }", {"heads": "heads = "}, ["width"]),
        ("model m : transformer { tokenizer = ¦", {"bytes": "bytes", "sh.letters": "sh.letters"}, []),
        ("model m : tiny { tokenizer = sh.¦", {"letters": "letters"}, ["tiny", "bytes"]),
        ("data d : text { order = ¦ }", {"shuffle": '"shuffle"', "replace": '"replace"'}, []),
        ('data d : text { order = "¦', {"shuffle": "shuffle", "replace": "replace"}, ["tiny"]),
        ('data d : text { order = "¦" }', {"shuffle": "shuffle"}, ["tiny"]),
        ("train t : base { optim.¦", {"lr": "lr = ", "betas": "betas = "}, ["steps"]),
        ("train t : base { steps = 2 * data.¦ }", {"seq_len": "seq_len"}, ["steps"]),
        ("train t : base { compile = ¦ }", {"true": "true", "false": "false"}, []),
        ("grid g { base = ¦", {"base": "base"}, ["tiny"]),
        ('import "¦', {"shared.lmspec": "shared.lmspec"}, ["a.lmspec"]),
        ('import "sha¦" as other', {"shared.lmspec": "shared.lmspec"}, ["tiny"]),
        ('train t : base { keep { best = "¦" } }', {"held_out.loss": "held_out.loss"}, ["tiny", "base"]),
        ("overlay fast : base { steps = 1 }\noverlay o : ¦", {"base": "base", "sweep": "sweep"}, ["fast"]),
        ("grid g { base = base, over { model.¦ } }", {"width": "width = "}, ["steps"]),
        ("grid g { base = base, over { model.mixer = [attention { ¦ }] } }", {"heads": "heads = "}, ["width"]),
        ("grid g { base = base, set { ¦", {"steps": "steps = "}, ["over"]),
        ('grid g { base = base, name = f"d{model.¦', {"width": "width"}, ["steps"]),
        ("overlay o : sweep { ¦", {"seeds": "seeds = ", "steps": "steps = "}, []),
        ("plot p : line { from = sweep, x = ¦ }", {"step": "step", "held_out": "held_out"}, []),
        (
            "plot p : line { from = sweep, y = held_out.¦ }",
            {"loss": "loss", "bits_per_byte": "bits_per_byte"},
            ["kind"],
        ),
        ("plot p : line { from = sweep, y = mean(loss.¦ }", {"train": "train", "valid": "valid"}, []),
        ("let x = [y for y in [1] if ¦]", {"y": "y", "wide": "wide", "range": "range"}, []),
        ("assert sh.¦", {"letters": "letters"}, ["tiny"]),
        ("train t : base { stop { when = ¦ } }", {"since_best": "since_best", "held_out": "held_out"}, []),
    ],
)
def test_completion(editor: Client, ending: str, wanted: dict[str, str], unwanted: list[str]) -> None:
    found = proposed(editor, "a.lmspec", TEXT + ending)
    assert {label: found.get(label) for label in wanted} == wanted
    assert not set(unwanted) & set(found)


@pytest.mark.parametrize("ending", ["# mo¦", 'let x = "mo¦"', "model ¦", "model m : transformer { layers ¦"])
def test_nothing_is_proposed_where_nothing_can_stand(editor: Client, ending: str) -> None:
    assert proposed(editor, "a.lmspec", TEXT + ending) == {}


def decoded(client: Client, name: str, text: str) -> list[tuple[str, str, set[str]]]:
    """Tokens as text, type and modifiers, by an arithmetic of its own."""
    legend = client.capabilities["semanticTokensProvider"]["legend"]
    data = client.request("textDocument/semanticTokens/full", {"textDocument": {"uri": client.uri(name)}})["data"]
    lines = [line.encode("utf-16-le") for line in text.split("\n")]
    line = column = 0
    found = []
    for at in range(0, len(data), 5):
        down, right, length, kind, bits = data[at : at + 5]
        assert length > 0
        assert down > 0 or at == 0 or right > 0
        line, column = line + down, right if down else column + right
        piece = lines[line][2 * column : 2 * (column + length)].decode("utf-16-le")
        modifiers = {name for number, name in enumerate(legend["tokenModifiers"]) if bits >> number & 1}
        found.append((piece, legend["tokenTypes"][kind], modifiers))
    return found


def test_semantic_tokens(editor: Client) -> None:
    found = decoded(editor, "a.lmspec", TEXT)
    pieces = {(piece, kind) for piece, kind, _ in found}
    assert {
        ("edition", "keyword"),
        ("import", "keyword"),
        ("sh", "namespace"),
        ("# Reads bytes 𝄞.", "comment"),
        ("tokenizer", "type"),
        ("tokenizer", "property"),
        ("bytes", "class"),
        ("byte", "type"),
        ('"<|eod|>"', "string"),
        ("1e-3", "number"),
        ("range", "function"),
        ("wide", "variable"),
        ('f"𝄞 {', "string"),
        ('}"', "string"),
        ("held_out", "class"),
        ("loss", "property"),
    } <= pieces
    declared = [piece for piece, _, modifiers in found if "declaration" in modifiers]
    assert declared == ["sh", "bytes", "book", "tiny", "base", "held_out", "sweep", "curve", "wide"]
    for piece, kind, _ in found:
        if kind == "number":
            assert re.fullmatch(r"[0-9][0-9a-zA-Z_.+-]*", piece)
        elif kind in ("property", "class", "variable", "type"):
            assert re.fullmatch(r"[A-Za-z_]\w*", piece)


def test_formatting_is_what_fmt_writes(editor: Client) -> None:
    untidy = "edition=1\ntokenizer   bytes : byte{specials=[]}   # 𝄞\n"
    editor.open("b.lmspec", untidy)
    params = {"textDocument": {"uri": editor.uri("b.lmspec")}, "options": {"tabSize": 2, "insertSpaces": True}}
    (edit,) = editor.request("textDocument/formatting", params)
    assert edit["range"] == {"start": {"line": 0, "character": 0}, "end": {"line": 2, "character": 0}}
    assert edit["newText"] == "edition = 1\ntokenizer bytes : byte { specials = [] }  # 𝄞\n"
    editor.change("b.lmspec", edit["newText"])
    assert editor.request("textDocument/formatting", params) == []
    editor.change("b.lmspec", "model {{{")
    assert editor.request("textDocument/formatting", params) == []
