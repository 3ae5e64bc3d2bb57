"""Grids: draws, zips, free axes, axes below axes of blocks, filters that fail, collapsed axes, identity."""

import hashlib
import itertools
from fractions import Fraction
from typing import Any

import mpmath
import pytest
from support.specs import Compile, plan_of

from lmc.compiler.pipeline import Compiled
from lmc.spec.plan import Point


def points(compiled: Compiled, grid: str = "sweep") -> list[Point]:
    return [point for point in plan_of(compiled).points if point.grid == grid]


def codes(compiled: Compiled) -> list[str]:
    return [d.code for d in compiled.diagnostics.items]


def number(seed: int, path: str, index: int) -> Fraction:
    """The number in [0, 1) that a sample is made from, by the definition in docs/language.md."""
    digest = hashlib.blake2b(f"{seed}\0{path}\0{index}".encode(), digest_size=16).digest()
    return Fraction(int.from_bytes(digest, "big") >> 28, 2**100)


def drawn(over: str, draw: str = "n = 7, seed = 3") -> str:
    return f"grid sweep {{ base = base, over {{ {over} }}, draw {{ {draw} }} }}\n"


def test_samples_are_a_function_of_seed_path_and_number(compile_more: Compile) -> None:
    """Against exact fractions and mpmath at 60 digits, rounded once to double."""
    text = drawn(
        "optim.lr = loguniform(1e-4, 1e-2), optim.weight_decay = uniform(0.1, 0.3), model.width = choice([32, 64, 96])"
    )
    found = points(compile_more(text))
    assert len(found) == 7
    mpmath.mp.dps = 60
    for index, point in enumerate(found):
        share = number(3, "optim.weight_decay", index)
        assert point.axes["optim.weight_decay"] == float(Fraction(1, 10) + Fraction(2, 10) * share)
        low, high = mpmath.log(mpmath.mpf("1e-4")), mpmath.log(mpmath.mpf("1e-2"))
        u = number(3, "optim.lr", index)
        assert point.axes["optim.lr"] == float(mpmath.exp(low + (high - low) * u.numerator / mpmath.mpf(u.denominator)))
        assert point.axes["model.width"] == [32, 64, 96][int(number(3, "model.width", index) * 3)]


def test_another_axis_moves_no_sample_and_lists_stay_a_product(compile_more: Compile) -> None:
    one = points(compile_more(drawn("optim.lr = loguniform(1e-4, 1e-2)")))
    text = drawn("optim.weight_decay = uniform(0, 1), batch = [4, 8], optim.lr = loguniform(1e-4, 1e-2)")
    both = points(compile_more(text))
    assert len(both) == 14
    assert [p.axes["optim.lr"] for p in both if p.axes["batch"] == 4] == [p.axes["optim.lr"] for p in one]
    more = points(compile_more(drawn("optim.lr = loguniform(1e-4, 1e-2)", "n = 9, seed = 3")))
    assert [p.axes["optim.lr"] for p in more][:7] == [p.axes["optim.lr"] for p in one]
    other = points(compile_more(drawn("optim.lr = loguniform(1e-4, 1e-2)", "n = 7")))
    assert not {p.axes["optim.lr"] for p in other} & {p.axes["optim.lr"] for p in one}


def test_samples_keep_to_their_range(compile_more: Compile) -> None:
    found = points(compile_more(drawn("optim.weight_decay = uniform(0.25, 0.5), batch = choice([1, 2])", "n = 500")))
    values = [p.axes["optim.weight_decay"] for p in found]
    assert len(set(values)) == 500
    assert min(values) >= 0.25
    assert max(values) < 0.5
    assert 0.36 < sum(values) / 500 < 0.39
    assert 200 < sum(p.axes["batch"] == 1 for p in found) < 300


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("grid sweep { base = base, over { optim.lr = uniform(0, 1) } }", "LM0209"),
        (drawn("optim.lr = uniform(1, 0)"), "LM0306"),
        (drawn("optim.lr = loguniform(0, 1)"), "LM0306"),
        (drawn("optim.lr = choice([])"), "LM0306"),
        (drawn("optim.lr = choice(3)"), "LM0306"),
        (drawn("optim.lr = uniform(0.1, 0.2)", "n = 0"), "LM0303"),
        (drawn("optim.lr = uniform(0.1, 0.2)", "n = 1.5"), "LM0301"),
        (drawn("optim.lr = uniform(0.1, 0.2)", "n = 2, sed = 1"), "LM0203"),
        (drawn("optim.lr = uniform(0.1, 0.2)", "n = 100001"), "LM0504"),
        ("grid sweep { base = base, zip { optim.lr = uniform(0, 1) }, draw { n = 2 } }", "LM0301"),
        ("train b : base { optim.lr = uniform(0, 1) }", "LM0301"),
        ("grid sweep { base = base, zip { batch = [1] }\n zip { seed = [1] } }", "LM0210"),
        ("grid sweep { base = base, over { batch = [1] }, zip a { batch = [2] } }", "LM0205"),
        ("grid sweep { base = base, over { seed = [1] }, seeds = range(2) }", "LM0205"),
        ("grid sweep { base = base, over { let w = [] } }", "LM0502"),
        ("grid sweep { base = base, over { let w = 3 } }", "LM0301"),
        ("grid sweep { base = base, let w = 3, over { batch = [1] } }", "LM0214"),
        ("grid sweep { base = base, over x { batch = [1] } }", "LM0214"),
        ("grid sweep { base = base, over { batch = [1, 2] }, where = seed }", "LM0301"),
        ("grid sweep { base = base, over { batch = [1, 2] }, ceiling = 1 }", "LM0504"),
        ("grid sweep { base = base, over { batch = [1, 2] }, identity = [\"steps\"] }", "LM0304"),
        ("grid sweep { base = base, over { batch = [1, 2] }, identity = [\"mehs\"] }", "LM0304"),
    ],
)  # fmt: skip
def test_mistakes_in_grids(text: str, code: str, compile_more: Compile) -> None:
    assert codes(compile_more(text + "\n")) == [code]


def test_named_zips_multiply(compile_more: Compile) -> None:
    text = """grid sweep {
      base = base
      zip sizes { model.width = [32, 64], model.layers = [1, 2] }
      zip rates { optim.lr = [1e-3, 1e-4, 1e-5], batch = [8, 4, 2] }
      seeds = [0, 1]
    }
    overlay less : sweep { zip rates { optim.lr = [1e-2, 1e-1], batch = unset } }
    """
    found = [tuple(p.axes.values()) for p in points(compile_more(text))]
    rates = [(1e-3, 8), (1e-4, 4), (1e-5, 2)]
    assert found == [(*s, *r, seed) for s, r, seed in itertools.product([(32, 1), (64, 2)], rates, [0, 1])]
    less = [tuple(p.axes.values()) for p in points(compile_more(text, ("less",)))]
    assert less == [(*s, lr, seed) for s, lr, seed in itertools.product([(32, 1), (64, 2)], [1e-2, 1e-1], [0, 1])]


def test_a_free_axis_is_read_by_set_where_name_blocks_and_plots(compile_more: Compile) -> None:
    text = """grid sweep {
      base = base
      over {
        let scale = [1, 2, 3]
        model.mixer = [attention { heads = 2 * scale }, gated {}]
      }
      where = scale < 3
      set { model.width = 32 * scale, data { seq_len = 16 * scale } }
      name = f"{model.mixer.kind}-x{scale}"
    }
    eval held : loss { run = base }
    plot p : line { from = sweep, x = scale, y = held.loss, color = model.mixer.kind }
    """
    compiled = compile_more(text)
    plan = plan_of(compiled)
    found = []
    for point in points(compiled):
        train = plan.nodes[point.run].spec
        model, data = plan.nodes[train.model].spec, plan.nodes[train.data].spec
        found.append(
            (point.name, point.values["scale"], model.width, getattr(model.mixer, "heads", None), data.seq_len)
        )
    assert found == [
        ("attention-x1", 1, 32, 2, 16),
        ("gated-x1", 1, 32, None, 16),
        ("attention-x2", 2, 64, 4, 32),
        ("gated-x2", 2, 64, None, 32),
    ]


def test_an_axis_below_an_axis_of_blocks_exists_in_all_of_them(compile_more: Compile) -> None:
    both = "model.mixer = [attention { heads = 2 }, attention { heads = 4, kv_heads = 2 }]"
    for over in (f"model.mixer.window = [8, 16], {both}", f"{both}, model.mixer.window = [8, 16]"):
        compiled = compile_more(f"grid sweep {{ base = base, over {{ {over} }} }}\n")
        plan = plan_of(compiled)
        mixers = [plan.nodes[plan.nodes[p.run].spec.model].spec.mixer for p in points(compiled)]
        assert {(m.heads, m.window) for m in mixers} == set(itertools.product([2, 4], [8, 16]))
    compiled = compile_more(
        "grid g { base = base, over { model.mixer = [attention { heads = 2 }, gated {}], model.mixer.heads = [2] } }\n"
    )
    (found,) = compiled.diagnostics.items
    assert (found.code, found.span.text if found.span else "") == ("LM0501", "heads")
    assert "mixer variant `gated` has no field `heads`" in found.message


def test_a_filter_that_cannot_be_computed_tells_the_first_point(compile_more: Compile) -> None:
    text = "grid sweep { base = base, over { model.mixer = [gated {}, attention { heads = 2 }], batch = [4, 8] }\n"
    compiled = compile_more(text + "  where = model.mixer.heads == 2 }\n")
    (found,) = compiled.diagnostics.items
    assert found.code == "LM0507"
    assert "2 of 4 points of grid `sweep` fail LM0207" in found.message
    assert found.label == 'first: model.mixer = "gated {}", batch = 4'
    guarded = compile_more(text + '  where = model.mixer.kind != "attention" or model.mixer.heads == 2 }\n')
    assert len(points(guarded)) == 4


def test_points_that_fail_alike_are_told_once(compile_more: Compile) -> None:
    compiled = compile_more(
        "grid sweep { base = base, over { model.width = range(61, 69), optim.lr = [1e-3, 1e-4] } }\n"
    )
    first, *more = sorted(compiled.diagnostics.items, key=lambda d: d.message)
    assert [d.code for d in (first, *more)] == ["LM0507", "LM0507"]
    widths = range(61, 69)
    odd, half = sum(w % 2 for w in widths), sum(w % 2 == 0 and w // 2 % 2 for w in widths)
    assert {d.message.split(" points")[0] for d in (first, *more)} == {f"{2 * odd} of 16", f"{2 * half} of 16"}
    assert all(d.span is not None and d.span.text == "range(61, 69)" for d in (first, *more))


@pytest.mark.parametrize(
    "settings",
    [("sweep.model.width=16",), ("sweep.base.model.width=16",), ("base.model.width=16",), ("small.width=16",)],
)
def test_a_setting_of_any_block_collapses_the_axis(settings: tuple[str, ...], compile_more: Compile) -> None:
    text = "grid sweep { base = base, over { model.width = [32, 64], batch = [4, 8] }, seeds = [0, 1] }\n"
    compiled = compile_more(text, (), settings)
    assert codes(compiled) == ["LM0510"]
    assert [tuple(p.axes) for p in points(compiled)] == [("batch", "seed")] * 4
    plan = plan_of(compiled)
    assert {plan.nodes[plan.nodes[p.run].spec.model].spec.width for p in points(compiled)} == {16}


def test_an_overlay_of_the_base_and_a_seed_collapse_axes(compile_more: Compile) -> None:
    text = """grid sweep { base = base, over { model.width = [32, 64], batch = [4, 8] }, seeds = [0, 1] }
    overlay narrow : base { model { width = 16 } }
    """
    compiled = compile_more(text, ("narrow",), ("base.seed=3",))
    assert codes(compiled) == ["LM0510", "LM0510"]
    assert [tuple(p.axes) for p in points(compiled)] == [("batch",)] * 2


def test_a_stronger_overlay_brings_an_axis_back(compile_more: Compile) -> None:
    text = """grid sweep { base = base, over { batch = [4, 8] } }
    overlay one : sweep { batch = 2 }
    overlay many : sweep { over { batch = [1, 2, 3] } }
    """
    assert len(points(compile_more(text, ("one",)))) == 1
    assert [p.axes["batch"] for p in points(compile_more(text, ("one", "many")))] == [1, 2, 3]


def test_parts_of_a_grid_can_be_set(compile_more: Compile) -> None:
    text = drawn("optim.lr = loguniform(1e-4, 1e-2)") + "overlay twice : sweep { draw.n = 2 }\n"
    assert len(points(compile_more(text, ("twice",)))) == 2
    assert len(points(compile_more(text, (), ("sweep.draw.n=3",)))) == 3
    assert len(points(compile_more(text, (), ("sweep.over.optim.lr=[1e-3]",)))) == 1


def identities(compiled: Compiled) -> set[str]:
    return {p.run for p in points(compiled)}


def test_a_grid_may_count_the_mesh_as_identity(compile_more: Compile) -> None:
    def grid(mesh: str, more: str, micro: str = "") -> Any:
        text = f"mesh one {{ {mesh} }}\ntrain meshed : base {{ mesh = one{micro} }}\n"
        return compile_more(text + f"grid sweep {{ base = meshed, over {{ batch = [4, 8] }}{more} }}\n")

    counted = ', identity += ["mesh"]'
    assert identities(grid("dp = 1", "")) == identities(grid("dp = 2", ""))
    assert not identities(grid("dp = 1", counted)) & identities(grid("dp = 2", counted))
    assert identities(grid("dp = 2", counted)) == identities(grid("dp = 2, devices = 2", counted))
    assert identities(grid("dp = 2", counted)) == identities(grid("dp = 2", counted, ", micro_batch = 2"))
    micro = ', identity += ["mesh"], identity += ["micro_batch"]'
    assert identities(grid("dp = 2", micro)) != identities(grid("dp = 2", micro, ", micro_batch = 2"))


def test_the_ceiling_is_raised_by_hand(compile_more: Compile) -> None:
    grid = "grid sweep {{ base = base, over {{ seed = range(2), batch = range(1, 50_002) }}, where = batch < 4{} }}\n"
    assert codes(compile_more(grid.format(""))) == ["LM0504"]
    assert len(points(compile_more(grid.format(", ceiling = 120k")))) == 6
