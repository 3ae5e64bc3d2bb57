"""What people see: the drawing names every move, the explanation equals Python's `re`, and both commands run."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from support.protocols import DB, FIND, anchored, compiled, cut, ids_of, protocol, random_bpe, vocabulary

from lmc.compiler.cli import main
from lmc.compiler.protocols.draw import byte_set, draw
from lmc.compiler.protocols.svg import as_svg
from lmc.runtime.protocols.explain import as_table, explain
from lmc.runtime.protocols.lift import lift
from lmc.spec.automaton import Automata

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = str(ROOT / "examples" / "memory.lmspec")
AUTOMATA = {
    "find": compiled(protocol(FIND)),
    "any": compiled(protocol(handover=None)),
    "two": compiled(protocol(name="one"), protocol(r"\d+", "<calc>", "</calc>", None, name="two")),
    "pattern": compiled(anchored(r"[\p{L} '-]+")),
}


@pytest.mark.parametrize("automata", AUTOMATA.values(), ids=AUTOMATA)
@pytest.mark.parametrize("whole", [False, True])
def test_a_drawing_has_every_move(automata: Automata, whole: bool) -> None:
    monitor = automata.monitor
    drawing = draw(automata, whole)
    assert sorted(state for node in drawing.nodes for state in node.states) == list(range(len(monitor.table)))
    assert not whole or len(drawing.nodes) == len(monitor.table)
    for state, row in enumerate(monitor.table):
        node = drawing.nodes[drawing.node_of[state]]
        assert state in node.states
        assert {drawing.node_of[target] for target in row} <= {edge.target for edge in node.edges}
    kinds = {event.kind for effect in monitor.effects for event in effect.events}
    told = " ".join(edge.does for node in drawing.nodes for edge in node.edges)
    assert all(kind in told for kind in kinds)


def test_bounds_and_characters_are_folded() -> None:
    drawing = draw(AUTOMATA["find"])
    assert len(drawing.nodes) < 45
    assert {node.phase for node in drawing.nodes} == {"free text", "inside lookup", "call of lookup waits"}
    assert len(draw(compiled(protocol(FIND.replace("64", "200")))).nodes) == len(drawing.nodes)


@pytest.mark.parametrize("automata", AUTOMATA.values(), ids=AUTOMATA)
def test_the_picture_is_well_formed_and_names_what_happens(automata: Automata) -> None:
    drawing = draw(automata)
    root = ElementTree.fromstring(as_svg(drawing))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {str(number) for number in range(len(drawing.nodes))} <= set(texts)
    assert "open" in " ".join(filter(None, texts))
    assert len(root.findall("{http://www.w3.org/2000/svg}circle")) == len(drawing.nodes)


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        ({97}, '"a"'),
        ({10}, r'"\n"'),
        (set(range(97, 123)) | {95}, "[_a-z]"),
        (set(range(256)), "any byte"),
        (set(range(256)) - {10}, r'any but "\n"'),
        ({48, 49, 0x80, 0x81, 0x82}, r"[01\x80-\x82]"),
    ],
)
def test_sets_of_bytes_in_words(found: set[int], shown: str) -> None:
    assert byte_set(found) == shown


def test_an_explanation_says_what_re_says() -> None:
    import random

    text = "a ```sql\nFIND town FOR Ada\n``` b"
    match = re.search(r"```sql\n(FIND (?P<attribute>[a-z_]+) FOR (?P<name>[^\n`]{1,64}))\n```", text)
    assert match is not None
    automata, words = AUTOMATA["find"], random_bpe(1)
    tokens = [*cut(text[: match.end()].encode(), ids_of(words), random.Random(0)), words.specials[DB]]
    steps = list(explain(automata, lift(automata.monitor, words), words.texts, {words.specials[DB]: DB}, tokens))
    assert b"".join(step.text for step in steps) == text[: match.end()].encode() + DB.encode()
    events = [(e.event.kind, step.position + e.offset) for step in steps for e in step.events]
    assert events == [("open", match.start(1)), ("close", match.end()), ("handover", match.end())]
    assert steps[-1].captures == ({name: value.encode() for name, value in match.groupdict().items()},)
    table = as_table(automata, steps, draw(automata).labels())
    assert f'handover lookup at {match.end()}; attribute = "town"; name = "Ada"' in table


def test_a_token_with_several_calls_is_explained_call_by_call() -> None:
    automata, words = AUTOMATA["any"], vocabulary([b"```sql\nQ", b"\n``````sql\n", b"R\n``` ```sql\nS\n```"])
    tokens = [256, 257, 258]
    steps = list(explain(automata, lift(automata.monitor, words), words.texts, {}, tokens))
    assert [step.captures for step in steps] == [(), ({"body": b"Q"},), ({"body": b"R"}, {"body": b"S"})]


def test_an_explanation_of_a_constrained_pattern_counts_choices_and_marks_what_is_not_legal() -> None:
    automata, words = compiled(anchored("ab?c")), vocabulary()
    spelled = {number: spelling for spelling, number in words.specials.items()}
    tokens = [words.specials["<|call|>"], *b"abd"]
    steps = list(explain(automata, lift(automata.monitor, words), words.texts, spelled, tokens))
    assert [step.allowed for step in steps] == [True, True, True, False]
    assert [step.choices for step in steps][:3] == [1, 2, 1]
    assert "not legal" in as_table(automata, steps, draw(automata).labels())


def test_the_command_draws_and_explains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "protocol", EXAMPLE, "lookup"]) == 0
    assert capsys.readouterr().out.startswith("lookup: ")
    picture = tmp_path / "lookup.svg"
    assert main(["show", "protocol", EXAMPLE, "--svg", str(picture)]) == 0
    ElementTree.fromstring(picture.read_text("utf-8"))
    capsys.readouterr()
    text = "<|assistant|>```sql\nFIND birth_date FOR Ada\n```<|database|>"
    assert main(["show", "protocol", EXAMPLE, "--text", text]) == 0
    out = capsys.readouterr().out
    assert 'attribute = "birth_date"; name = "Ada"' in out
    assert len(out.splitlines()) == 1 + len("```sql\nFIND birth_date FOR Ada\n```") + 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([EXAMPLE, "nope"], "no protocol `nope`"),
        ([EXAMPLE, "--tokenizer", "nope"], "no tokenizer `nope`"),
        ([str(ROOT / "examples" / "shakespeare.lmspec")], "no protocol"),
        ([EXAMPLE, "--text", "<|sudo|>"], "no special token"),
        ([EXAMPLE, "--svg", "/nowhere/x.svg"], "cannot be written"),
    ],
)
def test_mistakes_are_one_clear_message(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "protocol", *arguments]) == 1
    error = capsys.readouterr().err
    assert told in error
    assert "Traceback" not in error


def test_any_tokenizer_of_a_file_can_explain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "book.txt").write_text("FIND town FOR Ada " * 50, encoding="utf-8")
    (tmp_path / "x.lmspec").write_text(
        """edition = 1
tokenizer bytes : byte { specials = ["<|eod|>"] }
tokenizer words : bpe { size = 280, source = file("book.txt"), specials = ["<|eod|>"] }
protocol sums : calculator {
  call { open = "FIND ", body = re"[a-z]+", close = " FOR" }
  expression = ":body"
}
""",
        encoding="utf-8",
    )
    file = str(tmp_path / "x.lmspec")
    assert main(["show", "protocol", file]) == 1
    assert "--tokenizer" in capsys.readouterr().err
    sizes = []
    for name in ("bytes", "words"):
        assert main(["show", "protocol", file, "--tokenizer", name, "--text", "FIND town FOR Ada"]) == 0
        out = capsys.readouterr().out
        assert 'body = "town"' in out
        sizes.append(len(out.splitlines()))
    assert sizes[1] < sizes[0]
