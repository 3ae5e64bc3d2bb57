"""A protocol to its tool."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from attrs import frozen

from ...spec.protocol import CalculatorProtocol, PythonProtocol, SearchProtocol, SqlProtocol, ToolProtocol
from ..stores.base import Database
from .base import Tool
from .calculator import Calculator
from .executor import ToolExecutor
from .function import function_tool
from .search import SearchTool, search_tool
from .sql import SqlTool, sql_tool


@frozen
class ToolSource:
    """What the tool of a protocol is made from; `database` is None for one that asks none, `root` the spec's folder."""

    spec: ToolProtocol
    database: Database | None
    root: Path

    def make(self, captures: Collection[str]) -> Tool:
        """Return the tool; `captures` are the names that its calls have.

        Raises LmcError: LM0710 for a function that cannot be used, LM0702, LM0709, LM0711, LM0712 for a database.
        """
        if isinstance(self.spec, CalculatorProtocol):
            return Calculator(self.spec)
        if isinstance(self.spec, PythonProtocol):
            return function_tool(self.spec, self.root, captures)
        assert self.database is not None
        return _asking(self.spec, self.database)


def moved(executor: ToolExecutor, old: Database, new: Database) -> ToolExecutor:
    """Return an executor whose tools ask `new` where they asked `old`. Raises LmcError as making them does."""
    tools = [
        _asking(tool.spec, new) if isinstance(tool, SqlTool | SearchTool) and tool.database == old else tool
        for tool in executor.tools
    ]
    return ToolExecutor(executor.protocols, tools)


def _asking(spec: ToolProtocol, database: Database) -> Tool:
    if isinstance(spec, SearchProtocol):
        return search_tool(spec, database)
    assert isinstance(spec, SqlProtocol)
    return sql_tool(spec, database)
