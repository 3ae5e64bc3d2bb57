"""What is kept between two keystrokes: the same is said as by a server that has just started."""

import gc
import random
from pathlib import Path
from threading import Event

import pytest

import lmc.compiler.lsp.pieces as pieces
import lmc.compiler.plan.overlays as overlays
from lmc.compiler.lsp.pieces import Pieces
from lmc.compiler.lsp.unchanged import Cancelled
from lmc.compiler.lsp.workspace import Analysis, Workspace
from lmc.compiler.pipeline import compile_spec
from lmc.compiler.syntax.parse import parse
from lmc.spec.diagnostic import Diagnostics
from lmc.spec.span import Source

ROOT = Path(__file__).parent.parent.parent
TEXTS = {
    path.stem: path.read_text("utf-8")
    for path in [*(ROOT / "examples").glob("*.lmspec"), ROOT / "tests/highlight/cases/forms.lmspec"]
}
SHARED = """\
edition = 1
tokenizer bytes : byte { specials = ["<|eod|>"] }
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 64 }
"""
MAIN = """\
edition = 1
import "shared.lmspec" as sh
let heads = 4
model tiny : transformer { tokenizer = sh.bytes, layers = 1, width = 32, mixer : attention { heads = heads } }
model other : transformer { tokenizer = sh.bytes, layers = 2, width = 64, mixer : attention { heads = 8 } }
train base { model = tiny, data = sh.book, steps = 10, batch = 2, with = [longer] }
overlay longer : base { steps = 20 }
train second { model = other, data = sh.book, steps = 10, batch = 2 }
eval held_out : loss { run = base }
eval said : generate { run = second, prompt = "a", max_tokens = 9 }
grid widths { base = base, over { model.width = [32, 64] } }
grid rates {
  base = second, over { optim.lr = [1e-3, 1e-4], model.width = [64, 128] }, name = f"{model.width}-{optim.lr}"
}
overlay deep : rates { model.layers = 7 }
plot curve : line { from = widths, x = model.width, y = min(held_out.loss) }
plot lines : line { from = rates, x = model.width, y = min(said.tokens), color = optim.lr }
"""
TOGGLES = [
    ("let heads = 4", "let heads = 5"),
    ("width = 32,", "width = 33,"),
    ("heads = 8", "heads = 3"),
    ("steps = 20", "step = 20"),
    ("[32, 64]", "[32, 33]"),
    ("[64, 128]", "[64, 100]"),
    ("{model.width}-{optim.lr}", "{model.width}"),
    ("min(held_out.loss)", "held_out.los"),
    ("min(said.tokens)", "said.tokens"),
    (", color = optim.lr", ""),
    ("run = second", "run = base"),
    ("with = [longer]", "with = [longest]"),
    ("max_tokens = 9", "max_tokens = none"),
    ("grid rates {", "grid widths {"),
    ('import "shared', 'import "absent'),
    ("layers = 1", "layers ="),
    ("layers = 7", "layers = 0"),
    ("overlay deep : rates", "overlay deep : rate"),
]
SHARED_TOGGLES = [
    ("tokenizer bytes", "tokenizer byte"),
    ("seq_len = 64", "seq_len = 0"),
    ("edition = 1", "edition = 2"),
]
WORDS = [
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    '"',
    '"""',
    "'",
    "=",
    ",",
    "\n",
    "# ",
    'f"{',
    "train x {\n",
    "\ndata y : z ",
    "1e5",
    " if ",
]


def told(analysis: Analysis) -> list[str]:
    return sorted(map(repr, analysis.diagnostics))


def changed(text: str, draw: random.Random) -> str:
    """A text with something left out, put in or written twice."""
    start = draw.randrange(len(text))
    end = min(len(text), start + draw.choice([1, 1, 2, 5, 30, 200]))
    return text[:start] + draw.choice(["", draw.choice(WORDS), text[start:end] * 2]) + text[end:]


@pytest.mark.parametrize("name", TEXTS)
def test_pieces_are_parsed_as_the_whole(name: str) -> None:
    draw = random.Random(name)
    kept, text = Pieces(), TEXTS[name]
    for number in range(40):
        source, found, wanted = Source("a.lmspec", text), Diagnostics(), Diagnostics()
        file = kept.parse(source, found)
        assert file == parse(source, wanted)
        assert sorted(map(repr, found.items)) == sorted(map(repr, wanted.items))
        assert [c.span.text.rstrip() for c in file.comments] == [c.text for c in file.comments]
        text = TEXTS[name] if number % 4 == 0 else changed(text, draw)


def test_only_what_changed_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    whole = pieces.parse_with_tokens
    monkeypatch.setattr(
        pieces, "parse_with_tokens", lambda source, found: (read.append(source.text), whole(source, found))[1]
    )
    kept = Pieces()
    kept.parse(Source("a.lmspec", MAIN), Diagnostics())
    assert "".join(read) == MAIN
    assert len(read) == 1 + sum(
        MAIN.count(f"\n{kind} ") for kind in ("model", "train", "overlay", "eval", "grid", "plot")
    )
    for edited in (MAIN.replace("layers = 2", "layers = 30"), MAIN.replace("layers = 2", "layers =")):
        read.clear()
        kept.parse(Source("a.lmspec", edited), Diagnostics())
        (again,) = read
        assert again.startswith("model other")


def test_what_is_told_is_told_by_a_new_server_too(tmp_path: Path) -> None:
    """Mistakes come and go in an order of chance, in two open files."""
    draw = random.Random(7)
    main, shared = tmp_path / "main.lmspec", tmp_path / "shared.lmspec"
    texts = {main: MAIN, shared: SHARED}
    old = Workspace()
    seen = set()
    for _ in range(80):
        path, toggles = draw.choice([(main, TOGGLES)] * 5 + [(shared, SHARED_TOGGLES)])
        here, there = draw.choice([t for t in toggles if t[0] in texts[path] or (t[1] and t[1] in texts[path])])
        texts[path] = texts[path].replace(here, there) if here in texts[path] else texts[path].replace(there, here)
        if draw.random() < 0.15:
            texts = {main: MAIN, shared: SHARED}
        new = Workspace()
        for file, text in texts.items():
            old.write(file, text)
            new.write(file, text)
        assert told(old.analysis(main)) == told(new.analysis(main)), texts
        if draw.random() < 0.3:
            assert told(old.whole_analysis(main, Event())) == told(new.whole_analysis(main, Event())), texts
        seen |= {found.code for found in new.analysis(main).diagnostics}
    assert len(seen) > 8


def test_any_edit_is_told_as_by_a_new_server(tmp_path: Path) -> None:
    draw = random.Random(11)
    main, shared = tmp_path / "main.lmspec", tmp_path / "shared.lmspec"
    old, text = Workspace(), MAIN
    old.write(shared, SHARED)
    for number in range(80):
        new = Workspace()
        new.write(shared, SHARED)
        for workspace in (old, new):
            workspace.write(main, text)
        assert told(old.analysis(main)) == told(new.analysis(main)), text
        text = MAIN if number % 3 == 0 else changed(text, draw)


def test_grids_are_looked_at_again_if_two_imports_change_their_names(tmp_path: Path) -> None:
    main = tmp_path / "main.lmspec"
    old, new = Workspace(), Workspace()
    for workspace in (old, new):
        workspace.write(tmp_path / "shared.lmspec", SHARED + "let wide = 64\n")
        workspace.write(tmp_path / "other.lmspec", SHARED + "let wide = 33\n")
    text = MAIN.replace("\nlet", '\nimport "other.lmspec" as ot\nlet').replace("[32, 64]", "[32, sh.wide]")
    swapped = text.replace(" as sh", " as it").replace(" as ot", " as sh").replace(" as it", " as ot")
    old.write(main, text)
    assert old.analysis(main).diagnostics == ()
    for workspace in (old, new):
        workspace.write(main, swapped)
    assert "LM0507" in told(new.analysis(main))[0]
    assert told(old.analysis(main)) == told(new.analysis(main))


@pytest.mark.parametrize(
    "edit", [("layers = 2", "layers = 3"), ("layers = 2", "layer = 2"), ("[64, 128]", "[64, 100]")]
)
def test_nothing_is_kept_of_what_was_before(edit: tuple[str, str], tmp_path: Path) -> None:
    main, shared = tmp_path / "main.lmspec", tmp_path / "shared.lmspec"
    workspace = Workspace()
    workspace.write(shared, SHARED)

    def objects() -> int:
        for text in (MAIN, MAIN.replace(*edit)):
            workspace.write(main, text)
            assert workspace.analysis(main).program is not None
        gc.collect()
        return len(gc.get_objects())

    objects()
    before = objects()
    for _ in range(5):
        after = objects()
    assert after < before + 500


def points(analysis: Analysis, grid: str) -> int:
    assert analysis.builder is not None
    return sum(point.grid == grid for point in analysis.builder.points)


@pytest.mark.parametrize(
    ("edit", "widths", "rates"),
    [
        (("let heads = 4", "let heads = 2"), 2, 1),
        (("heads = 8", "heads = 4"), 1, 3),
        (("steps = 20", "steps = 30"), 2, 1),
        (("held_out.loss", "held_out.bits_per_byte"), 2, 1),
        (("max_tokens = 9", "max_tokens = 8"), 1, 3),
        (("edition = 1\n", "edition = 1\n# why\n"), 1, 1),
    ],
)
def test_grids_are_looked_at_again_if_what_they_name_has_changed(
    edit: tuple[str, str], widths: int, rates: int, tmp_path: Path
) -> None:
    main, shared = tmp_path / "main.lmspec", tmp_path / "shared.lmspec"
    workspace = Workspace()
    workspace.write(shared, SHARED)
    workspace.write(main, MAIN)
    before = workspace.analysis(main)
    assert before.diagnostics == ()
    assert (points(before, "widths"), points(before, "rates")) == (2, 3)
    workspace.write(main, MAIN.replace(*edit))
    after = workspace.analysis(main)
    assert after.diagnostics == ()
    assert (points(after, "widths"), points(after, "rates")) == (widths, rates)
    workspace.write(shared, SHARED.replace("seq_len = 64", "seq_len = 32"))
    last = workspace.analysis(main)
    assert (points(last, "widths"), points(last, "rates")) == (2, 3)


@pytest.mark.parametrize(
    ("edit", "tried"),
    [
        (("layers = 7", "layers = 8"), ["deep"]),
        (("heads = 8", "heads = 4"), ["deep"]),
        (("let heads = 4", "let heads = 2"), ["longer"]),
        (("edition = 1\n", "edition = 1\n# why\n"), []),
    ],
)
def test_overlays_are_tried_again_if_what_they_name_has_changed(
    edit: tuple[str, str], tried: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main, shared = tmp_path / "main.lmspec", tmp_path / "shared.lmspec"
    workspace = Workspace()
    workspace.write(shared, SHARED)
    found: list[str] = []
    trial = overlays._mistakes
    monkeypatch.setattr(
        overlays, "_mistakes", lambda b, decl, target: (found.append(decl.name), trial(b, decl, target))[1]
    )
    workspace.write(main, MAIN)
    assert workspace.analysis(main).diagnostics == ()
    assert found == ["longer", "deep"]
    found.clear()
    workspace.write(main, MAIN.replace(*edit))
    assert workspace.analysis(main).diagnostics == ()
    assert found == tried


def test_grids_that_are_known_as_a_whole_are_counted_at_once(tmp_path: Path) -> None:
    main, shared = tmp_path / "main.lmspec", tmp_path / "shared.lmspec"
    workspace = Workspace()
    workspace.write(shared, SHARED)
    workspace.write(main, MAIN)
    assert not workspace.analysis(main).whole
    assert workspace.whole_analysis(main, Event()).counts == {"widths": (2, 2), "rates": (4, 4)}
    workspace.write(main, MAIN.replace("edition = 1\n", "edition = 1\n# why\n"))
    assert workspace.analysis(main).whole
    workspace.write(main, MAIN.replace("heads = 8", "heads = 4"))
    assert workspace.analysis(main).counts == {"widths": (2, 2)}
    again = workspace.whole_analysis(main, Event())
    assert again.counts == {"widths": (2, 2), "rates": (4, 4)}
    assert (points(again, "widths"), points(again, "rates")) == (1, 4)
    workspace.write(main, MAIN.replace("heads = 8", "heads = 3"))
    assert workspace.whole_analysis(main, Event()).diagnostics
    wrong = workspace.analysis(main)
    assert wrong.whole
    assert wrong.counts == {"widths": (2, 2), "rates": (0, 0)}
    workspace.write(main, MAIN.replace("heads = 8", "heads = 3 "))
    assert not workspace.analysis(main).whole
    stop = Event()
    stop.set()
    with pytest.raises(Cancelled):
        workspace.whole_analysis(main, stop)


def test_what_follows_from_braces_that_do_not_match_is_not_told(tmp_path: Path) -> None:
    (tmp_path / "shared.lmspec").write_text(SHARED, "utf-8")
    text = MAIN.replace("steps = 10, batch = 2 }\neval held", "steps = 10, batch = \neval held").replace(
        "4\n", "4 }\n", 1
    )
    path = tmp_path / "main.lmspec"
    path.write_text(text, "utf-8")
    workspace = Workspace()
    workspace.write(path, text)
    (found,) = workspace.analysis(path).diagnostics
    (told,) = compile_spec(path).diagnostics.items
    assert (found.code, found.message) == (told.code, told.message)
    assert found.code.startswith("LM01")
