"""Functions of the user as tools.

A function runs in this process, in a daemon thread: it is the user's own code, may hold a model or a connection, and
needs no copy of itself elsewhere. One that never returns is given up at the time limit (see `workers`).
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from ...spec.diagnostic import Diagnostic, LmcError
from ...spec.protocol import PythonProtocol
from .base import Answer, decoded, first_line


@frozen(eq=False)
class FunctionTool:
    """A function that is called with the captures as keyword arguments."""

    function: Callable[..., Any]

    def call(self, captures: Mapping[str, bytes]) -> Answer:
        """Return what the function returns as text; None is `empty`, an exception is `error`."""
        try:
            result = self.function(**decoded(captures))
            text = None if result is None else str(result)
        except (Exception, SystemExit) as error:
            return Answer("error", detail=f"{type(error).__name__}: {first_line(error)}")
        return Answer("empty") if text is None else Answer("answered", text)

    def close(self) -> None:
        """Do nothing: the function is not ours."""


def function_tool(spec: PythonProtocol, root: Path, captures: Collection[str]) -> FunctionTool:
    """Import the function of a protocol, from `sys.path` or below `root`.

    Raises LmcError (LM0710) if it is not there, is no plain function, or does not take exactly the captures.
    """
    module_name, colon, name = spec.function.partition(":")
    if not (colon and module_name and name):
        raise _unusable(spec, "it is not of the form package.module:name", "write package.module:name")
    if str(root) not in sys.path:
        sys.path.append(str(root))
        importlib.invalidate_caches()
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        help = f"modules are looked up on sys.path and in {root}"
        raise _unusable(spec, f"there is no module `{error.name}`", help) from error
    except Exception as error:
        reason = f"importing `{module_name}` raised {type(error).__name__}: {first_line(error)}"
        raise _unusable(spec, reason, "make the module importable") from error
    function = getattr(module, name, None)
    if not callable(function) or inspect.iscoroutinefunction(function):
        what = "no function" if not callable(function) else "no plain function, but a coroutine,"
        raise _unusable(spec, f"`{getattr(module, '__file__', module_name)}` has {what} `{name}`", "define it there")
    _check_signature(spec, function, captures)
    return FunctionTool(function)


def _check_signature(spec: PythonProtocol, function: Callable[..., Any], captures: Collection[str]) -> None:
    try:
        inspect.signature(function).bind(**dict.fromkeys(captures, ""))
    except TypeError as error:
        help = f"its parameters are the captures of `body`: {', '.join(sorted(captures))}"
        raise _unusable(spec, f"it does not take the captures ({error})", help) from error
    except ValueError:
        return


def _unusable(spec: PythonProtocol, reason: str, help: str) -> LmcError:
    return LmcError(Diagnostic("LM0710", f"the function `{spec.function}` cannot be used: {reason}", None, help=help))
