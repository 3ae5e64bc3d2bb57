"""What is written as YAML is read as what it was, by readers of YAML 1.1 and of YAML 1.2."""

import json
import math
import re
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from lmc.compiler.interchange.yaml_text import yaml_lines


class Core(yaml.SafeLoader):
    """PyYAML with the tag resolution of the core schema of YAML 1.2.2, section 10.3.2."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012


for tag, pattern in {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
}.items():
    Core.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(rf"(?:{pattern})\Z"), None)
Core.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(loader.construct_scalar(node), 0))
Core.add_constructor("tag:yaml.org,2002:float", lambda loader, node: float(loader.construct_scalar(node)))

MISREAD = [
    *(
        "y",
        "n",
        "yes",
        "No",
        "on",
        "OFF",
        "true",
        "False",
        "null",
        "~",
        "",
        " ",
        "1e-3",
        "1.5e3",
        ".5",
        "1_000",
        "0o17",
        "0x1F",
    ),
    *(
        "017",
        "1:30",
        "12:30:45",
        "2001-12-14",
        ".inf",
        ".NaN",
        "=",
        "<<",
        "- a",
        "a: b",
        "a #b",
        "#",
        "*a",
        "&a",
        "!t",
        "%",
        "@",
        "`",
    ),
    *(
        "|",
        ">",
        "[a",
        "{a",
        "a,b",
        "'",
        '"',
        "\\",
        "\t",
        "a\nb",
        "a\r\nb",
        "\x00",
        "\x85",
        "\u2028",
        "\ufeff",
        "\x7f",
        "😀",
        "é",
    ),
    *("---", "...", "? a", "-", "<|eod|>", "+1", "-1", "a ", "e3", "Null", "nan", "inf", "NaN"),
]


def shape(value: Any) -> Any:
    """A value with the type of every part: 1, 1.0 and True are equal in Python."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    return type(value).__name__, math.copysign(1, value) if value == 0 else value, value


def read_equal(value: Any) -> None:
    text = "".join(line + "\n" for line in yaml_lines(value))
    for loader in (yaml.SafeLoader, Core):
        assert shape(yaml.load(text, Loader=loader)) == shape(value), text


@pytest.mark.parametrize("text", MISREAD)
def test_a_string_that_could_be_misread_is_read_as_it_was(text: str) -> None:
    read_equal(text)
    read_equal({text: [text, {"key": text}]})


@pytest.mark.parametrize("number", [0, -1, 10**30, 0.0, -0.0, 1e-5, 1e16, 1.5e300, 5e-324, 0.1, 3.0, 2**53 + 0.0])
def test_numbers_are_read_as_they_were(number: float) -> None:
    read_equal([number])
    assert repr(json.loads(json.dumps(number))) == repr(number)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(VALUES)
@example([[[]], [{}], [["a", ["b"]], {"k": [1]}]])
@example({"k" * 3000: [{"j" * 3000: 1, "l": [2]}]})
@example(["x" * 60, "y" * 60])
def test_whatever_is_written_is_read_as_it_was(value: Any) -> None:
    read_equal(value)


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
def test_a_number_that_is_not_finite_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        list(yaml_lines({"lr": number}))


def test_words_are_written_without_quotes_and_short_lists_on_a_line() -> None:
    assert list(yaml_lines({"kind": "model", "at": ["blocks.0.mlp", "on"], "rows": [{"a": 1, "b": []}]})) == [
        "kind: model",
        'at: [blocks.0.mlp, "on"]',
        "rows:",
        "  - a: 1",
        "    b: []",
    ]
