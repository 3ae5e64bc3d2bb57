"""Expressions and functions: exact, total, and wrong uses told."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from lmc.compiler.pipeline import compile_spec

BASE = """
tokenizer bytes : byte {{}}
data book : text {{ source = file("book.txt"), tokenizer = bytes, seq_len = 64 }}
model small : transformer {{ tokenizer = bytes, layers = 2, width = 64, mixer : attention {{ heads = 2 }} }}
train base {{ model = small, data = book, steps = 100, batch = 8 }}
grid sweep {{ base = base, over {{ optim.lr = {list_} }} }}
"""


def axis(list_: str, folder: Path) -> Any:
    path = folder / "case.lmspec"
    path.write_text(BASE.format(list_=list_), encoding="utf-8")
    compiled = compile_spec(path)
    if compiled.plan is None:
        return [d.code for d in compiled.diagnostics.items]
    return [p.axes["optim.lr"] for p in compiled.plan.points if p.grid == "sweep"]


@pytest.mark.parametrize(
    ("list_", "want"),
    [
        ("range(1, 4)", [1, 2, 3]),
        ("range(1, 8, 3) + [9]", [1, 4, 7, 9]),
        ("pow2(1, 4)", [2, 4, 8, 16]),
        ("logspace(-4, -2, 3)", [0.0001, 0.001, 0.01]),
        ("linspace(0.1, 0.4, 4)", [0.1, 0.2, 0.3, 0.4]),
        ("geom(1, 100, 3)", [1.0, 10.0, 100.0]),
        ("[0.1 + 0.2, 1 / 4, 7 // 2, 7 % 4, 2 ** 3]", [0.3, 0.25, 3, 3, 8]),
        ("[min(3, 2), max([4, 5]), sum([1, 2]), len([1, 1]), round(2.6), sqrt(16)]", [2, 5, 3, 2, 3, 4]),
        ("[x * 2 for x in range(1, 4) if x != 2]", [2, 6]),
        ("[1e-3 if batch == 8 else 1, seed + 1]", [0.001, 1]),
        ("[8Ki, 1.5k, 0x10]", [8192, 1500, 16]),
    ],
)
def test_values(list_: str, want: list[Any], tmp_path: Path) -> None:
    assert axis(list_, tmp_path) == want


@pytest.mark.parametrize(
    ("list_", "code"),
    [
        ("[1 / 0]", "LM0307"),
        ("range()", "LM0306"),
        ("range(0, 9, 0)", "LM0306"),
        ("range(10000000)", "LM0306"),
        ("[sqrt(-1)]", "LM0306"),
        ("nothing(3)", "LM0306"),
        ("uniform(0, 1)", "LM0209"),
        ('[1 + "a"]', "LM0307"),
        ("[1 if 3 else 4]", "LM0301"),
        ("[5 ** 0.5 ** -9999999]", "LM0307"),
        ("[3parsecs]", "LM0302"),
        ("7", "LM0301"),
        ("[x for x in 5]", "LM0301"),
        ('[x for x in "abc"]', "LM0301"),
        ("[x for x in [1] if x]", "LM0301"),
        ('[len(f"{seed:>201}")]', "LM0307"),
        ('[len(f"{seed:.201f}")]', "LM0307"),
        ('[len(f"{seed:q}")]', "LM0307"),
    ],
)
def test_mistakes_in_values(list_: str, code: str, tmp_path: Path) -> None:
    assert axis(list_, tmp_path) == [code]


@pytest.mark.parametrize(
    ("part", "want"),
    [
        ("{optim.lr:.1e}", "1.0e-03"),
        ("{batch:04d}", "0008"),
        ("{steps / 2:d}", "50"),
        ("{batch / 3:.2f}", "2.67"),
        ("{model.mixer.kind:>12}", "   attention"),
        ("{model}", "small"),
        ("{optim.betas}", "[0.9, 0.95]"),
        ("{mesh}{model.tied}", "nonefalse"),
        ("{{batch}}", "{batch}"),
    ],
)
def test_formats_in_strings(part: str, want: str, tmp_path: Path) -> None:
    path = tmp_path / "case.lmspec"
    grid = f'grid named {{ base = base, over {{ optim.lr = [1e-3] }}, name = f"{part}" }}\n'
    path.write_text(BASE.format(list_="[1]") + grid, encoding="utf-8")
    compiled = compile_spec(path)
    assert compiled.plan is not None, compiled.diagnostics.items
    assert [p.name for p in compiled.plan.points if p.grid == "named"] == [want]


def test_arithmetic_keeps_34_digits() -> None:
    from lmc.compiler.resolve.functions import arithmetic

    assert arithmetic("/", 1, 3) == Decimal("0.3333333333333333333333333333333333")
