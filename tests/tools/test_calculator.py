"""The calculator: Python's own arithmetic where that is exact, an error for everything else."""

import math
import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.databases import CALL

from lmc.runtime.tools.base import Answer
from lmc.runtime.tools.calculator import LONGEST, Calculator, Refused, compute, told
from lmc.spec.protocol import CalculatorProtocol

ANY = Calculator(CalculatorProtocol(call=CALL, expression=":x"))


def ask(text: str) -> Answer:
    return ANY.call({"x": text.encode()})


def value(text: str) -> str:
    return told(compute(text, {}))


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("6 / 2", "3"),
        ("7 / 2", "3.5"),
        ("1 / 3", "0.3333333333333333"),
        ("0.1 + 0.2", "0.3"),
        ("1.10 * 3", "3.3"),
        ("-7 // 2", "-4"),
        ("-7 % 3", "2"),
        ("7.5 % 2", "1.5"),
        ("-3 ** 2", "-9"),
        ("2 ** -1", "0.5"),
        ("2 ** 3 ** 2", "512"),
        ("2 ** 100", str(2**100)),
        ("sqrt(16)", "4"),
        ("sqrt(2.25)", "1.5"),
        ("sqrt(2)", repr(math.sqrt(2))),
        ("2 ** 0.5", repr(2**0.5)),
        ("abs(-3.5) + min(2, 1) - max(4, 9, 2)", "-4.5"),
        ("round(2.5)", "2"),
        ("round(3.14159, 2)", "3.14"),
        ("round(1234, -2)", "1200"),
        ("max(5)", "5"),
        ("1e3 + .5", "1000.5"),
        ("1e-20", "0.00000000000000000001"),
        ("+-+1", "-1"),
        ("\t1\n+ 2 ", "3"),
        ("1" + "+1" * 150, "151"),
    ],
)
def test_arithmetic(text: str, want: str) -> None:
    answer = ask(text)
    assert (answer.outcome, answer.text) == ("answered", want)


HOSTILE = [
    "",
    " ",
    "9**9**9",
    "9**999999999",
    "0.5**99999",
    "(" * 150 + "9" + ")**99" * 150,
    "1e999999999",
    "1e999 * 1e999",
    "1" * 2000,
    "(" * 400 + "1" + ")" * 400,
    "(" * 180 + "1" + ")" * 180 + "**",
    "-" * 900 + "1",
    "abs(" * 240 + "1" + ")" * 240,
    "1" + "+1" * 499,
    "1 / 0",
    "1 % 0",
    "1 // 0.0",
    "0 ** -1",
    "sqrt(-1)",
    "(-8) ** 0.5",
    "1e300 ** 1.5",
    "x",
    "True",
    "__import__('os')",
    "__import__('os').system('true')",
    "().__class__",
    "(1).real",
    "open",
    "eval(1)",
    "pow(2, 3)",
    "sqrt",
    "sqrt()",
    "sqrt(1, 2)",
    "sqrt(x=1)",
    "min(*abs)",
    "round(1, 101)",
    "round(1, 0.5)",
    "round(1e300, 99) ** 40",
    "lambda: 1",
    "[1]",
    "{1}",
    "(1, 2)",
    "1, 2",
    "'a' * 9",
    'f"{1}"',
    "1 if 1 else 2",
    "1 < 2",
    "1 and 2",
    "not 1",
    "~1",
    "1 << 99",
    "1 | 2",
    "x := 1",
    "1; 2",
    "1 # 2",
    "1\\\n+2",
    "0x10",
    "1_000",
    "1j",
    "007",
    "1or 2",
    "1.2.3",
    "1 2",
    "((1)",
    "1 +",
    "\u0661 + \u0662",
    "1 + ²",
    "1\0+1",
    "é",
    "\ud800".encode("utf-8", "surrogatepass").decode("utf-8", "replace"),
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:30]))
@pytest.mark.filterwarnings("error")
def test_what_is_no_arithmetic_is_an_error_at_once(text: str) -> None:
    began = time.monotonic()
    answer = ask(text)
    assert time.monotonic() - began < 0.5
    assert (answer.outcome, answer.text) == ("error", None)
    assert answer.detail


numbers = st.integers(-(10**9), 10**9)
small = st.integers(-9, 9)
tree = st.recursive(
    st.integers(0, 999).map(str),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "//", "%"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(inner, st.integers(0, 3)).map(lambda t: f"({t[0]} ** {t[1]})"),
        inner.map(lambda t: f"-{t}"),
        inner.map(lambda t: f"abs({t})"),
        st.tuples(inner, inner).map(lambda t: f"max({t[0]}, {t[1]})"),
    ),
    max_leaves=12,
)


@given(tree)
def test_whole_numbers_are_those_of_python(text: str) -> None:
    try:
        want = str(eval(text, {"__builtins__": {}}, {"abs": abs, "max": max}))
    except ZeroDivisionError:
        with pytest.raises(Refused):
            compute(text, {})
        return
    if len(text) <= LONGEST and abs(int(want)).bit_length() <= 4000:
        assert value(text) == want


@given(numbers, numbers.filter(bool))
def test_quotients_are_those_of_python_to_the_last_digit(a: int, b: int) -> None:
    assert float(value(f"{a} / {b}")) == a / b
    assert Fraction(compute(f"({a} / {b}) * {b}", {})) == a


@given(st.decimals(-1000, 1000, places=3), st.decimals(-1000, 1000, places=3))
def test_decimals_are_exact(a: object, b: object) -> None:
    for op in ("+", "-", "*"):
        want = {"+": Fraction.__add__, "-": Fraction.__sub__, "*": Fraction.__mul__}[op](
            Fraction(str(a)), Fraction(str(b))
        )
        assert Fraction(value(f"({a}) {op} ({b})")) == want


@given(st.floats(0.001, 1000), small)
def test_floats_are_as_near_as_those_of_python(x: float, n: int) -> None:
    text = f"{x:.6f}"
    assert float(value(f"sqrt({text})")) == pytest.approx(math.sqrt(float(text)), rel=1e-15)
    assert float(value(f"{text} ** {n}.5")) == pytest.approx(float(text) ** float(f"{n}.5"), rel=1e-12)


@given(st.text("0123456789.+-*/%()e, abssqrt", max_size=40))
def test_any_text_is_answered_or_refused(text: str) -> None:
    answer = ask(text)
    assert answer.outcome in ("answered", "error")
    assert (answer.text is None) == (answer.outcome == "error")


def test_captures_are_values_not_text() -> None:
    tool = Calculator(CalculatorProtocol(call=CALL, expression="2 * :left - :right"))
    assert tool.call({"left": b"1 + 1", "right": b"1 - 3"}).text == "6"
    assert tool.call({"left": b"1) + (1", "right": b"1"}).outcome == "error"
    assert tool.call({"left": b"right", "right": b"1"}).outcome == "error"
    tool.close()
