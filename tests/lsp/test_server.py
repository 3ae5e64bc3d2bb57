"""The server, driven over its pipes as an editor drives it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.lsp import Client

from lmc.compiler.format.format import format_source
from lmc.compiler.lsp.workspace import Workspace
from lmc.compiler.pipeline import compile_spec
from lmc.compiler.plan.build import PlanBuilder
from lmc.spec.diagnostic import Diagnostics
from lmc.spec.span import Source

SHARED = """\
edition = 1
# Zeichen über dem BMP: 𝄞𝄞
tokenizer bytes : byte { specials = ["<|eod|>"] }
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 64 }
model tiny : transformer { tokenizer = bytes, layers = 1, width = 32, mixer : attention { heads = 4 } }
"""
MAIN = """\
edition = 1
import "shared.lmspec" as sh
train base { model = sh.tiny, data = sh.book, steps = 10, batch = 2 }
eval held_out : loss { run = base }
grid widths {
  base = base
  over { model.width = [32, 64] }
  name = f"𝄞{model.width}"
}
plot curve : line { from = widths, x = model.width, y = min(held_out.loss) }
"""


def place(text: str, word: str, number: int = 0) -> tuple[int, int]:
    """Line and UTF-16 column of the number-th time that a word stands in a text."""
    at = -1
    for _ in range(number + 1):
        at = text.index(word, at + 1)
    before = text[:at]
    return before.count("\n"), len(before.rpartition("\n")[2].encode("utf-16-le")) // 2


def codes(found: list[dict]) -> list[str]:
    return [diagnostic.get("code", "") for diagnostic in found]


def test_diagnostics_follow_every_change(client: Client) -> None:
    client.open("shared.lmspec", SHARED)
    assert client.diagnostics("shared.lmspec") == []
    broken = SHARED.replace("layers", "layer")
    client.change("shared.lmspec", broken)
    (found,) = client.diagnostics("shared.lmspec")
    assert found["code"] == "LM0203"
    assert found["severity"] == 1
    start, end = found["range"]["start"], found["range"]["end"]
    assert (start["line"], start["character"]) == place(broken, "layer ")
    assert end["character"] - start["character"] == len("layer")
    client.change("shared.lmspec", SHARED, 3)
    assert client.diagnostics("shared.lmspec") == []


def test_an_open_buffer_counts_in_the_files_that_import_it(client: Client) -> None:
    (client.root / "shared.lmspec").write_text(SHARED.replace("width = 32", "width = 33"), encoding="utf-8")
    main = MAIN.replace("model.width", "model.layers").replace("[32, 64]", "[1, 2]")
    client.open("main.lmspec", main)
    assert codes(client.diagnostics("main.lmspec")) == ["LM0507"]
    client.open("shared.lmspec", SHARED)
    assert client.diagnostics("main.lmspec") == []
    client.change("shared.lmspec", SHARED.replace("tiny", "small"))
    assert "LM0207" in codes(client.diagnostics("main.lmspec"))
    client.close_file(client.uri("shared.lmspec"))
    assert codes(client.diagnostics("main.lmspec")) == ["LM0507"]


def test_mistakes_of_an_import_are_told_where_they_are(client: Client) -> None:
    (client.root / "shared.lmspec").write_text(SHARED.replace("layers = 1", "layer = 1"), encoding="utf-8")
    client.open("main.lmspec", MAIN)
    assert "LM0203" in codes(client.diagnostics("shared.lmspec"))


def test_columns_are_utf_16(client: Client) -> None:
    text = SHARED + 'let title = f"𝄞é {nope}"\nassert title == "𝄞" and missing\n'
    client.open("shared.lmspec", text)
    found = client.diagnostics("shared.lmspec")
    told = [(d["range"]["start"]["line"], d["range"]["start"]["character"]) for d in found]
    assert place(text, "nope") in told
    assert client.ask("definition", "shared.lmspec", *place(text, "title", 1)) == {
        "uri": client.uri("shared.lmspec"),
        "range": {
            "start": dict(zip(("line", "character"), place(text, "title"), strict=True)),
            "end": dict(zip(("line", "character"), place(text, ' = f"𝄞é'), strict=True)),
        },
    }


def test_every_point_of_a_grid_is_looked_at_when_one_stops_typing(client: Client) -> None:
    """While one types the message has no count; points that only a combination reaches are found a moment later."""
    text = SHARED + (
        "train base { model = tiny, data = book, steps = 10, batch = 2 }\n"
        "grid g { base = base, over { model.width = [12, 16, 20], model.mixer.heads = [2, 4, 3] } }\n"
    )
    client.open("shared.lmspec", text)
    assert "points of grid" in client.diagnostics("shared.lmspec")[0]["message"]
    assert "2 of 9 points of grid" in client.diagnostics("shared.lmspec")[0]["message"]


def test_repairs_are_offered_where_a_diagnostic_has_one(client: Client) -> None:
    text = SHARED.replace("layers", "layer")
    client.open("shared.lmspec", text)
    (found,) = client.diagnostics("shared.lmspec")
    params = {
        "textDocument": {"uri": client.uri("shared.lmspec")},
        "range": found["range"],
        "context": {"diagnostics": [found]},
    }
    (action,) = client.request("textDocument/codeAction", params)
    assert action["kind"] == "quickfix"
    (edit,) = action["edit"]["changes"][client.uri("shared.lmspec")]
    assert edit == {"range": found["range"], "newText": "layers"}
    elsewhere = {"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 1}}
    assert client.request("textDocument/codeAction", {**params, "range": elsewhere}) == []


@pytest.mark.parametrize(
    ("right", "wrong", "title"),
    [
        ("layers", "layer", "write `layers`"),
        ("layers = 1, ", "layers = 1 ", "insert `,`"),
        ("width = 32", "width = = 32", "remove `=`"),
        ('["<|eod|>"]', '("<|eod|>", "<|x|>")', "write a list: [a, b]"),
    ],
)
def test_a_repair_says_what_it_does(client: Client, right: str, wrong: str, title: str) -> None:
    client.open("shared.lmspec", SHARED.replace(right, wrong))
    (found,) = client.diagnostics("shared.lmspec")
    params = {
        "textDocument": {"uri": client.uri("shared.lmspec")},
        "range": found["range"],
        "context": {"diagnostics": [found]},
    }
    (action,) = client.request("textDocument/codeAction", params)
    assert action["title"] == title


def test_a_message_says_what_the_marked_place_does_not(client: Client) -> None:
    text = SHARED.replace("heads = 4", "heads = 5")
    client.open("shared.lmspec", text)
    (found,) = client.diagnostics("shared.lmspec")
    assert found["message"] == "5 heads do not divide width 32\nhelp: choose heads that divide the width"
    (other,) = found["relatedInformation"]
    assert other["message"] == "and here"
    assert tuple(other["location"]["range"]["start"].values()) == place(text, "32")


def test_a_name_is_renamed_in_every_file(folder: Client) -> None:
    """Also in files that are not open; what comes out compiles."""
    (folder.root / "main.lmspec").write_text(MAIN, encoding="utf-8")
    folder.open("shared.lmspec", SHARED)
    answer = folder.ask("rename", "shared.lmspec", *place(SHARED, "tiny"), newName="klein")
    texts = {"shared.lmspec": SHARED, "main.lmspec": MAIN}
    assert set(answer["changes"]) == {folder.uri(name) for name in texts}
    for name, text in texts.items():
        changed = applied(text, answer["changes"][folder.uri(name)])
        assert "tiny" not in changed
        assert changed == text.replace("tiny", "klein")
        (folder.root / name).write_text(changed, encoding="utf-8")
    assert compile_spec(folder.root / "main.lmspec").diagnostics.items == []


def applied(text: str, edits: list[dict]) -> str:
    """Edits of the protocol applied to a text, by an arithmetic of its own: UTF-16, from the last to the first."""
    lines = [line.encode("utf-16-le") for line in text.split("\n")]
    for edit in sorted(edits, key=lambda e: (e["range"]["start"]["line"], e["range"]["start"]["character"]))[::-1]:
        start, end = edit["range"]["start"], edit["range"]["end"]
        assert start["line"] == end["line"]
        line = lines[start["line"]]
        new = edit["newText"].encode("utf-16-le")
        lines[start["line"]] = line[: 2 * start["character"]] + new + line[2 * end["character"] :]
    return "\n".join(line.decode("utf-16-le") for line in lines)


@pytest.mark.parametrize(
    ("word", "new", "why"),
    [
        ("layers", "depth", "field"),
        ("transformer", "t", "variant"),
        ("tiny", "train ing", "no name"),
        ("tiny", "if", "no name"),
        ("tiny", "book", "already"),
        ("edition", "e", "keyword"),
    ],
)
def test_what_cannot_be_renamed_is_refused_with_a_reason(client: Client, word: str, new: str, why: str) -> None:
    client.open("shared.lmspec", SHARED)
    line, character = place(SHARED, word)
    params = {
        "textDocument": {"uri": client.uri("shared.lmspec")},
        "position": {"line": line, "character": character},
        "newName": new,
    }
    assert why in client.answer("textDocument/rename", params)["error"]["message"]
    prepared = client.ask("prepareRename", "shared.lmspec", line, character)
    assert (prepared is not None) == (word == "tiny")


def test_definition_and_uses_go_through_imports(client: Client) -> None:
    (client.root / "shared.lmspec").write_text(SHARED, encoding="utf-8")
    client.open("main.lmspec", MAIN)
    found = client.ask("definition", "main.lmspec", *place(MAIN, "tiny"))
    assert found["uri"] == client.uri("shared.lmspec")
    assert tuple(found["range"]["start"].values()) == place(SHARED, "tiny")
    uses = client.ask("references", "main.lmspec", *place(MAIN, "base"), context={"includeDeclaration": True})
    told = sorted((u["range"]["start"]["line"], u["range"]["start"]["character"]) for u in uses)
    assert told == [place(MAIN, "base"), place(MAIN, "base }"), place(MAIN, "base\n")]
    alone = client.ask("references", "main.lmspec", *place(MAIN, "base"), context={"includeDeclaration": False})
    assert len(alone) == 2
    file = client.ask("definition", "main.lmspec", *place(MAIN, "shared.lmspec"))
    assert file["uri"] == client.uri("shared.lmspec")


def test_the_outline_nests(client: Client) -> None:
    client.open("shared.lmspec", SHARED)
    names = client.request("textDocument/documentSymbol", {"textDocument": {"uri": client.uri("shared.lmspec")}})
    assert [(n["name"], n["detail"]) for n in names][1:] == [
        ("bytes", "tokenizer : byte"),
        ("book", "data : text"),
        ("tiny", "model : transformer"),
    ]
    inner = next(n for n in names[3]["children"] if n["name"] == "mixer")
    assert [n["name"] for n in inner["children"]] == ["heads"]


METHODS = ["definition", "references", "prepareRename", "rename", "hover", "completion"]


@pytest.mark.parametrize("position", [(10**6, 0), (0, 10**6), (2**31 - 1, 2**31 - 1), (4, 0)])
@pytest.mark.parametrize("name", ["shared.lmspec", "absent.lmspec", "a folder/ü.lmspec"])
def test_places_outside_the_text_are_answered(client: Client, position: tuple[int, int], name: str) -> None:
    client.open("shared.lmspec", SHARED)
    for method in METHODS:
        where = {"line": position[0], "character": position[1]}
        more = {"context": {"includeDeclaration": True}} if method == "references" else {"newName": "other"}
        document = {"uri": client.uri(name)}
        answer = client.answer(f"textDocument/{method}", {"textDocument": document, "position": where, **more})
        assert "result" in answer or "named by a file" in answer["error"]["message"]
    assert client.diagnostics("shared.lmspec") == []


@pytest.mark.parametrize("line", [-1, "a", None, [], 2**70])
def test_places_that_are_none_do_not_end_it(client: Client, line: object) -> None:
    client.open("shared.lmspec", SHARED)
    for method in METHODS:
        where = {"textDocument": {"uri": client.uri("shared.lmspec")}, "position": {"line": line, "character": 0}}
        assert client.answer(f"textDocument/{method}", where)["error"]["code"] == -32602
    assert client.diagnostics("shared.lmspec") == []


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'{"jsonrpc": "2.0"}',
        b'{"jsonrpc": "2.0", "id": 7, "method": "textDocument/hover"}',
        b'{"jsonrpc": "2.0", "method": "textDocument/didChange", "params": {"textDocument": 3}}',
        b'{"jsonrpc": "2.0", "method": "textDocument/didChange", "params": {"textDocument": {"uri": "file:///n", '
        b'"version": 1}, "contentChanges": [{"text": "model"}]}}',
        b'{"jsonrpc": "2.0", "method": "textDocument/didOpen", "params": {"textDocument": {"uri": "untitled:One", '
        b'"languageId": "lmspec", "version": 1, "text": "model"}}}',
        b'{"jsonrpc": "2.0", "id": "x", "result": 3}',
        b'{"jsonrpc": "1.0", "id": {}, "method": 3}',
    ],
)
def test_a_bad_message_does_not_end_it(client: Client, body: bytes) -> None:
    client.raw(body)
    client.open("shared.lmspec", SHARED)
    assert client.diagnostics("shared.lmspec") == []


def test_an_unknown_method_is_an_error_and_an_unknown_notification_nothing(client: Client) -> None:
    assert client.answer("lmc/nothing", {})["error"]["code"] == -32601
    client.notify("lmc/nothing", {})
    assert client.answer("textDocument/foldingRange", {"textDocument": {"uri": "x:y"}})["error"]["code"] == -32601
    client.open("shared.lmspec", SHARED)
    assert client.diagnostics("shared.lmspec") == []


def test_a_failure_of_the_compiler_is_told_and_survived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: PlanBuilder, header: object) -> None:
        raise ZeroDivisionError("a bug")

    path = tmp_path / "a.lmspec"
    workspace = Workspace()
    workspace.write(path, SHARED)
    with monkeypatch.context() as patch:
        patch.setattr(PlanBuilder, "build", fail)
        analysis = workspace.analysis(path)
        assert "a bug" in analysis.diagnostics[-1].message
        assert analysis.names is not None
    workspace.write(path, SHARED + "\n")
    assert workspace.analysis(path).diagnostics == ()


def test_it_ends_when_the_editor_goes(tmp_path: Path) -> None:
    pytest.importorskip("pygls", reason="the extra `lsp` is not installed")
    command = [sys.executable, "-m", "lmc.compiler.cli", "lsp"]
    ended = subprocess.run(command, input=b"", capture_output=True, timeout=60, cwd=tmp_path)
    assert ended.returncode == 0
    assert ended.stdout == b""


def test_capabilities(client: Client) -> None:
    told = json.dumps(client.capabilities)
    for name in (
        "definition",
        "references",
        "rename",
        "documentSymbol",
        "codeAction",
        "hover",
        "completion",
        "inlayHint",
    ):
        assert f'"{name}Provider"' in told


def test_an_import_may_be_a_file_that_was_never_saved(client: Client) -> None:
    client.open("main.lmspec", MAIN)
    assert codes(client.diagnostics("main.lmspec")) == ["LM0211"]
    client.open("shared.lmspec", SHARED)
    assert client.diagnostics("main.lmspec") == []
    found = client.ask("definition", "main.lmspec", *place(MAIN, "tiny"))
    assert found["uri"] == client.uri("shared.lmspec")
    hover = client.ask("hover", "main.lmspec", *place(MAIN, "tiny"))
    assert "model tiny : transformer" in hover["contents"]["value"]
    answer = client.ask("rename", "shared.lmspec", *place(SHARED, "tiny"), newName="klein")
    for name, text in {"shared.lmspec": SHARED, "main.lmspec": MAIN}.items():
        client.change(name, applied(text, answer["changes"][client.uri(name)]), 9)
    client.change("main.lmspec", MAIN.replace("tiny", "klein").replace("steps = 10", "step = 10"), 10)
    assert "LM0203" in codes(client.diagnostics("main.lmspec"))
    client.close_file(client.uri("shared.lmspec"))
    assert "LM0211" in codes(client.diagnostics("main.lmspec"))


def test_files_outside_of_the_folder_that_is_open_are_answered(
    folder: Client, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """An absolute path stands for itself."""
    outside = tmp_path_factory.mktemp("elsewhere ü")
    (outside / "shared.lmspec").write_text(SHARED, encoding="utf-8")
    main = str(outside / "main.lmspec")
    folder.open(main, MAIN.replace("steps = 10", "step = 10"))
    (found, *_) = [d for d in folder.diagnostics(main) if d["code"] == "LM0203"]
    params = {
        "textDocument": {"uri": folder.uri(main)},
        "range": found["range"],
        "context": {"diagnostics": [found]},
    }
    actions = folder.request("textDocument/codeAction", params)
    assert [edit["newText"] for a in actions for edit in a["edit"]["changes"][folder.uri(main)]] == ["steps"]
    folder.change(main, MAIN)
    assert folder.diagnostics(main) == []
    definition = folder.ask("definition", main, *place(MAIN, "tiny"))
    assert definition["uri"] == (outside / "shared.lmspec").as_uri()
    answer = folder.ask("rename", main, *place(MAIN, "base"), newName="first")
    assert applied(MAIN, answer["changes"][folder.uri(main)]) == MAIN.replace("base", "first").replace(
        "first =", "base ="
    )


def test_a_text_without_a_file_is_answered(client: Client) -> None:
    uri = "untitled:Untitled-1"
    text = SHARED.replace("layers", "layer")
    document = {"uri": uri, "languageId": "lmspec", "version": 1, "text": text}
    client.notify("textDocument/didOpen", {"textDocument": document})
    message: dict = {"params": {"uri": ""}}
    while message["params"]["uri"] != uri:
        message = client.said.get(timeout=20)
    assert codes(message["params"]["diagnostics"]) == ["LM0203"]
    where = {
        "textDocument": {"uri": uri},
        "position": dict(zip(("line", "character"), place(text, "width"), strict=True)),
    }
    assert "Size of the residual stream" in client.request("textDocument/hover", where)["contents"]["value"]
    client.notify("textDocument/didClose", {"textDocument": {"uri": uri}})


def test_line_ends_of_windows(client: Client) -> None:
    """Lines and columns are those of the editor, and repairs and names fit into its text."""
    text = SHARED.replace("layers", "layer").replace("\n", "\r\n")
    client.open("shared.lmspec", text)
    (found,) = client.diagnostics("shared.lmspec")
    start = found["range"]["start"]
    assert (start["line"], start["character"]) == place(SHARED, "layers")
    params = {
        "textDocument": {"uri": client.uri("shared.lmspec")},
        "range": found["range"],
        "context": {"diagnostics": [found]},
    }
    (action,) = client.request("textDocument/codeAction", params)
    repaired = applied(text, action["edit"]["changes"][client.uri("shared.lmspec")])
    assert repaired == SHARED.replace("\n", "\r\n")
    client.change("shared.lmspec", repaired)
    assert client.diagnostics("shared.lmspec") == []
    answer = client.ask("rename", "shared.lmspec", *place(SHARED, "bytes"), newName="letters")
    renamed = applied(repaired, answer["changes"][client.uri("shared.lmspec")])
    assert renamed == repaired.replace("bytes", "letters")
    layout = {"textDocument": {"uri": client.uri("shared.lmspec")}, "options": {"tabSize": 2, "insertSpaces": True}}
    (edit,) = client.request("textDocument/formatting", layout)
    assert edit["range"]["end"] == {"line": SHARED.count("\n"), "character": 0}
    assert edit["newText"] == format_source(Source("", SHARED), Diagnostics())
    client.change("shared.lmspec", edit["newText"].replace("\n", "\r\n"), 5)
    assert client.request("textDocument/formatting", layout) == []


def test_a_file_that_is_reached_by_a_link_is_told_under_its_own_name(client: Client) -> None:
    (client.root / "real").mkdir()
    (client.root / "link").symlink_to(client.root / "real")
    client.open("link/shared.lmspec", SHARED.replace("layers", "layer"))
    assert codes(client.diagnostics("link/shared.lmspec")) == ["LM0203"]
    found = client.ask("definition", "link/shared.lmspec", *place(SHARED, "bytes"))
    assert found["uri"] == client.uri("link/shared.lmspec")


def test_a_change_on_disk_is_told_when_the_editor_says_so(client: Client) -> None:
    shared = client.root / "shared.lmspec"
    shared.write_text(SHARED, encoding="utf-8")
    client.open("main.lmspec", MAIN)
    assert client.diagnostics("main.lmspec") == []
    shared.write_text(SHARED.replace("tiny", "small"), encoding="utf-8")
    changes = [{"uri": client.uri("shared.lmspec"), "type": 2}]
    client.notify("workspace/didChangeWatchedFiles", {"changes": changes})
    assert "LM0207" in codes(client.diagnostics("main.lmspec"))
