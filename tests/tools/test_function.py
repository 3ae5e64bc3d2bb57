"""Functions of the user as tools."""

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.databases import CALL

from lmc.runtime.inputs import files_of
from lmc.runtime.tools.executor import ToolExecutor
from lmc.runtime.tools.function import FunctionTool, function_tool
from lmc.spec.diagnostic import LmcError
from lmc.spec.protocol import PythonProtocol
from lmc.spec.units import Duration

MODULE = """
import time
from . import helper

def weather(place, day="today"):
    return f"{helper.SKY} in {place} {day}"

def nothing(place):
    return None

def number(place):
    return 3.5

def empty(place):
    return ""

def fails(place):
    raise ValueError("no such place\\nat all")

def leaves(place):
    raise SystemExit(3)

def sleeps(place):
    time.sleep(3600)

class Odd:
    def __str__(self):
        raise RuntimeError("no text")

def odd(place):
    return Odd()

def anything(**captures):
    return ",".join(sorted(captures))

def two(place, other):
    return place + other

async def later(place):
    return place

constant = 3
"""


@pytest.fixture
def root(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder with a package of its own name, and nothing left of it afterwards."""
    kept = list(sys.path)
    package = tmp_path / f"tools_{tmp_path.name}"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "helper.py").write_text("SKY = 'rain'\n")
    (package / "made.py").write_text(MODULE)
    (package / "broken.py").write_text("raise ZeroDivisionError('at import')\n")
    (package / "half.py").write_text("import no_such_module_anywhere\n")
    yield tmp_path
    sys.path[:] = kept
    for name in [name for name in sys.modules if name.split(".")[0] == package.name]:
        del sys.modules[name]


def spec(root: Path, name: str, module: str = "made", **fields: float) -> PythonProtocol:
    timeout = Duration(fields.get("timeout", 1.0))
    return PythonProtocol(call=CALL, function=f"tools_{root.name}.{module}:{name}", timeout=timeout)


def made(root: Path, name: str, *captures: str) -> FunctionTool:
    return function_tool(spec(root, name), root, captures or ("place",))


def test_captures_are_keyword_arguments_of_text(root: Path) -> None:
    answer = made(root, "weather").call({"place": "Łódź".encode()})
    assert (answer.outcome, answer.text) == ("answered", "rain in Łódź today")
    tool = made(root, "weather", "day", "place")
    assert tool.call({"place": b"x", "day": b"\xff"}).text == "rain in x \ufffd"
    assert made(root, "anything", "b", "a").call({"b": b"", "a": b""}).text == "a,b"
    tool.close()


@pytest.mark.parametrize(
    ("name", "outcome", "text", "detail"),
    [
        ("nothing", "empty", None, ""),
        ("number", "answered", "3.5", ""),
        ("empty", "answered", "", ""),
        ("fails", "error", None, "ValueError: no such place"),
        ("leaves", "error", None, "SystemExit: 3"),
        ("odd", "error", None, "RuntimeError: no text"),
    ],
)
def test_what_a_function_does_is_an_answer(name: str, outcome: str, text: str | None, detail: str, root: Path) -> None:
    answer = made(root, name).call({"place": b"x"})
    assert (answer.outcome, answer.text, answer.detail) == (outcome, text, detail)


def test_a_function_that_sleeps_is_given_up(root: Path) -> None:
    slow = spec(root, "sleeps", timeout=0.1)
    with ToolExecutor([slow], [function_tool(slow, root, ["place"])]) as executor:
        assert executor.submit(0, {"place": b"x"}, 0).result(10).outcome == "error"


@pytest.mark.parametrize(
    ("name", "module", "captures", "words", "help"),
    [
        ("weather", "absent", ["place"], "there is no module", "sys.path and in"),
        ("weather", "half", ["place"], "no module `no_such_module_anywhere`", "sys.path and in"),
        ("weather", "broken", ["place"], "ZeroDivisionError: at import", "importable"),
        ("wether", "made", ["place"], "has no function `wether`", "define it"),
        ("constant", "made", ["place"], "has no function `constant`", "define it"),
        ("later", "made", ["place"], "a coroutine", "define it"),
        ("two", "made", ["place"], "missing a required", "place"),
        ("weather", "made", ["place", "town"], "unexpected keyword argument 'town'", "place, town"),
        ("weather", "made", [], "missing a required", "captures"),
    ],
)
def test_a_function_that_cannot_be_called_is_told_before_anything_runs(
    name: str, module: str, captures: list[str], words: str, help: str, root: Path
) -> None:
    with pytest.raises(LmcError) as caught:
        function_tool(spec(root, name, module), root, captures)
    assert caught.value.diagnostic.code == "LM0710"
    assert words in caught.value.diagnostic.message
    assert help in caught.value.diagnostic.help


def test_functions_of_installed_modules_need_no_signature(root: Path) -> None:
    tool = function_tool(PythonProtocol(call=CALL, function="builtins:dict"), root, ["a"])
    assert tool.call({"a": b"1"}).text == "{'a': '1'}"


def test_a_form_that_names_no_function_is_told(root: Path) -> None:
    with pytest.raises(LmcError, match="not of the form") as caught:
        function_tool(PythonProtocol(call=CALL, function="builtins"), root, [])
    assert caught.value.diagnostic.code == "LM0710"


def test_the_file_of_a_function_is_an_input(root: Path) -> None:
    assert files_of(spec(root, "weather"), root) == [root / f"tools_{root.name}" / "made.py"]
    package = PythonProtocol(call=CALL, function=f"tools_{root.name}:x")
    assert files_of(package, root) == [root / f"tools_{root.name}" / "__init__.py"]
    assert files_of(PythonProtocol(call=CALL, function="json:dumps"), root) == []


def test_calls_of_a_function_run_at_once(root: Path) -> None:
    meeting = threading.Barrier(8, timeout=10)

    def meet(place: str) -> str:
        meeting.wait()
        return place

    plain = PythonProtocol(call=CALL, function="m:meet", timeout=Duration(10.0))
    with ToolExecutor([plain], [FunctionTool(meet)]) as executor:
        futures = [executor.submit(0, {"place": str(n).encode()}, 0) for n in range(8)]
        assert [future.result().text for future in futures] == [str(n) for n in range(8)]
