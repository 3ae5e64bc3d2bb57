"""Blocks that an expression chooses: `positions = learned { } if ... else nope {}`."""

import pytest
from support.specs import Compile

from lmc.compiler.pipeline import Compiled
from lmc.compiler.plan.why import explain_value
from lmc.spec.model import Attention, Learned, Nope, Rope

LEARNED = "learned { length = 8 * batch } if batch > 8 else nope {}"


def models(compiled: Compiled, grid: str = "sweep") -> list[object]:
    plan = compiled.plan
    assert plan is not None, [(d.code, d.message) for d in compiled.diagnostics.items]
    return [plan.nodes[plan.nodes[p.run].spec.model].spec for p in plan.points if p.grid == grid]


def codes(compiled: Compiled) -> list[tuple[str, str]]:
    return [(d.code, d.span.text if d.span else "") for d in compiled.diagnostics.items]


def test_a_block_is_chosen_at_each_point(compile_more: Compile) -> None:
    text = f"grid sweep {{ base = base, over {{ batch = [8, 16] }}, set {{ model.positions = {LEARNED} }} }}\n"
    nope, learned = models(compile_more(text))
    assert nope.positions == Nope()  # type: ignore[attr-defined]
    assert learned.positions == Learned(length=128)  # type: ignore[attr-defined]
    assert learned.num_params() - nope.num_params() == 128 * 64  # type: ignore[attr-defined]


def test_a_choice_is_bound_late_and_edited_in_all_its_blocks(compile_more: Compile) -> None:
    text = """train wide : base {
      model.mixer = attention { heads = 4 } if batch == 8 else attention { heads = 1 }
      model { mixer { window = 8 } }
      model.mixer.sinks = 2
    }
    train more : wide { batch = 9 }
    """
    compiled = compile_more(text)
    assert [m.mixer for name in ("wide", "more") for m in models(compiled, name)] == [  # type: ignore[attr-defined]
        Attention(heads=4, kv_heads=4, window=8, sinks=2),
        Attention(heads=1, kv_heads=1, window=8, sinks=2),
    ]
    lines = list(explain_value(compiled, "more.model.mixer.heads"))
    assert lines[0].endswith("= 1")


def test_a_constant_or_a_free_axis_may_be_a_block(compile_more: Compile) -> None:
    text = """let near = rope { theta = 100 }
    grid sweep {
      base = base
      over { let how = [rope { theta = 1k }, nope {}, learned { length = 100 }] }
      set { model.positions = how }
    }
    train one : base { model.positions = near }
    """
    compiled = compile_more(text)
    found = [m.positions for m in models(compiled)]  # type: ignore[attr-defined]
    assert found == [Rope(theta=1000.0), Nope(), Learned(length=100)]
    assert [m.positions for m in models(compiled, "one")] == [Rope(theta=100.0)]  # type: ignore[attr-defined]


def test_a_start_may_be_chosen(compile_more: Compile) -> None:
    text = "train more : base { init = checkpoint { run = base } if batch > 8 else none }\n"
    text += "grid sweep { base = more, over { batch = [8, 16] } }\n"
    plan = compile_more(text).plan
    assert plan is not None
    starts = [plan.nodes[p.run].spec.init for p in plan.points if p.grid == "sweep"]
    (base,) = [p.run for p in plan.points if p.grid == "base"]
    assert [start and start.run for start in starts] == [None, base]


@pytest.mark.parametrize(
    ("positions", "found"),
    [
        ("learned { lenght = 8 } if layers > 8 else nope {}", ("LM0203", "lenght")),
        ("learnt {} if layers > 8 else nope {}", ("LM0202", "learnt")),
        ("nope {} if layers > 8 else 3", ("LM0214", "nope {} if layers > 8 else 3")),
        ("nope {} if layers else rope {}", ("LM0301", "layers")),
        ('nope {} if positions.kind == "rope" else rope {}', ("LM0305", None)),
        ("nope {} if params > 3 else learned { length = 64 }", ("LM0305", None)),
    ],
)
def test_mistakes_in_choices(positions: str, found: tuple[str, str | None], compile_more: Compile) -> None:
    ((code, text),) = codes(compile_more(f"model chosen : small {{ positions = {positions} }}\n"))
    assert code == found[0]
    assert found[1] in (None, text)


def test_nothing_is_set_through_a_reference_that_is_chosen(compile_more: Compile) -> None:
    text = "data other : book { seq_len = 32 }\ngrid sweep { base = base, over { batch = [8, 9] }\n"
    both = compile_more(text + "set { data = other if batch > 8 else book } }\n")
    plan = both.plan
    assert plan is not None
    lengths = [plan.nodes[plan.nodes[p.run].spec.data].spec.seq_len for p in plan.points if p.grid == "sweep"]
    assert lengths == [64, 32]
    found = codes(compile_more(text + "set { data = other if batch > 8 else book, data.seq_len = 9 } }\n"))
    assert found == [("LM0307", "data.seq_len = 9")]


def test_constants_stand_at_top_level(compile_more: Compile) -> None:
    assert codes(compile_more("train one : base { let x = 3 }\n")) == [("LM0214", "x")]
