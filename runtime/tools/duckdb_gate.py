"""DuckDB connections that can only read the tables of a store; they live in a child process alone.

What stops what (https://duckdb.org/docs/stable/operations_manual/securing_duckdb): `read_only` stops writing to the
file, `enable_external_access` stops other files and the net, `lock_configuration` keeps both as they are; the syntax
tree of a statement is checked for what it reads and calls, since DuckDB knows no rights to a table; `interrupt` stops
what takes long. A constant can be folded outside `memory_limit` and deaf to `interrupt`: that is the child's limits'.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import duckdb

from .rows import Refused, Rows, bounded

CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "memory_limit": "128MB",
    "threads": "1",
    "temp_directory": "",
    "max_temp_directory_size": "0B",
    "python_enable_replacements": "false",
}
_FUNCTIONS = (
    "abs acos age any_value approx_count_distinct approx_quantile arbitrary arg_max arg_min array_agg "
    "array_length ascii asin atan atan2 avg bit_count bit_length bool_and bool_or cbrt ceil ceiling century "
    "char_length character_length chr coalesce concat concat_ws contains corr cos cot count count_if count_star "
    "countif covar_pop covar_samp cume_dist date_add date_diff date_part date_sub date_trunc datediff datepart "
    "datesub datetrunc day dayname dayofmonth dayofweek dayofyear decade degrees dense_rank element_at ends_with "
    "entropy epoch even exp factorial filter first first_value flatten floor fmod format gcd generate_series "
    "greatest group_concat histogram hour if ifnull instr isfinite isinf isnan isodow isoyear "
    "jaro_winkler_similarity julian kurtosis lag last last_day last_value lcase lcm lead least left len length "
    "levenshtein list list_aggregate list_apply list_concat list_contains list_count list_distinct list_element "
    "list_extract list_filter list_has list_max list_min list_position list_reverse list_sort list_sum "
    "list_transform list_unique list_value listagg ln log log10 log2 lower lpad ltrim mad make_date max max_by "
    "md5 mean median min min_by minute mod mode month monthname nth_value ntile nullif octet_length ord "
    "percent_rank pi position pow power prefix product quantile quantile_cont quantile_disc quarter radians range "
    "rank regexp_extract regexp_extract_all regexp_full_match regexp_matches regexp_replace regexp_split_to_array "
    "repeat replace reverse right round row row_number rpad rtrim second sign sin skewness split split_part sqrt "
    "starts_with stddev stddev_pop stddev_samp str_split strftime string_agg string_split strip_accents strlen "
    "strpos strptime struct_extract struct_pack substr substring suffix sum tan to_days to_months to_years "
    "translate trim trunc try_strptime typeof ucase unicode unnest upper var_pop var_samp variance week weekday "
    "weekofyear year yearweek"
)
FUNCTIONS = frozenset(_FUNCTIONS.split())
OPERATOR = re.compile(r"[^A-Za-z_]+|__between|!?~~~?\*?|(not_)?i?like_escape")
_CLASSES = (
    "BETWEEN CASE CAST COLLATE COLUMN_REF COMPARISON CONJUNCTION CONSTANT FUNCTION LAMBDA OPERATOR "
    "POSITIONAL_REFERENCE STAR SUBQUERY TYPE WINDOW"
)
CLASSES = frozenset(_CLASSES.split())
_TYPES = (
    "ASCENDING BASE_TABLE CTE_NODE DESCENDING DISTINCT_MODIFIER EMPTY EXPRESSION_LIST JOIN LIMIT_MODIFIER "
    "LIMIT_PERCENT_MODIFIER ORDER_DEFAULT ORDER_MODIFIER RECURSIVE_CTE_NODE SELECT_NODE SET_OPERATION_NODE "
    "SUBQUERY TABLE_FUNCTION"
)
TYPES = frozenset(_TYPES.split())


class DuckdbGate:
    """Runs one statement at a time on a file."""

    def __init__(self, path: str, tables: Collection[str]) -> None:
        self.tables = frozenset(map(str.lower, tables))
        self.connection = duckdb.connect(path, read_only=True, config=CONFIG)
        self.connection.execute("SET lock_configuration = true")
        names = "SELECT lower(table_name) FROM duckdb_tables() UNION SELECT lower(view_name) FROM duckdb_views()"
        self.real = frozenset(name for (name,) in self.connection.execute(names).fetchall())

    def run(
        self, text: str, values: Mapping[str, str | None], *, rows: int, limit: int, seconds: float, hostile: bool
    ) -> Rows:
        """Return the first rows of a SELECT; a hostile one reads only the store's tables. Raises Refused."""
        timer = threading.Timer(seconds, self.connection.interrupt)
        timer.daemon = True
        timer.start()
        try:
            self._check(text, hostile)
            return bounded(_batches(self.connection.execute(text, dict(values) or None)), rows, limit)
        except duckdb.InterruptException as error:
            raise Refused(f"longer than {seconds:g} s") from error
        except (duckdb.Error, MemoryError, RecursionError, ValueError) as error:
            raise Refused(str(error).split("\n")[0] or "out of memory") from error
        finally:
            timer.cancel()

    def _check(self, text: str, hostile: bool) -> None:
        found = self.connection.extract_statements(text)
        if len(found) != 1 or found[0].type != duckdb.StatementType.SELECT:
            raise Refused("a statement is one SELECT")
        if not hostile:
            return
        row = self.connection.execute("SELECT json_serialize_sql($1)", [text]).fetchone()
        tree: Any = json.loads(row[0]) if row else {"error": True}
        if tree["error"] or len(tree["statements"]) != 1:
            raise Refused("a statement is one SELECT")
        named = {entry["key"].lower() for node in _nodes(tree) for entry in (node.get("cte_map") or {"map": []})["map"]}
        for node in _nodes(tree["statements"]):
            self._check_node(node, named - self.real)

    def _check_node(self, node: Mapping[str, Any], named: Collection[str]) -> None:
        what = node.get("class", node.get("type"))
        if isinstance(what, str) and what not in (CLASSES if "class" in node else TYPES):
            raise Refused(f"{what} is not allowed")
        if what == "BASE_TABLE":
            table = str(node["table_name"]).lower()
            qualified = node["catalog_name"] or node["schema_name"] not in ("", "main")
            if qualified or (table not in self.tables and (node["schema_name"] or table not in named)):
                raise Refused(f"`{node['table_name']}` is not a table of the store")
        function = node.get("function_name")
        if function is not None and function.lower() not in FUNCTIONS and not OPERATOR.fullmatch(function):
            raise Refused(f"the function `{function}` is not allowed")


def _nodes(tree: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every object of a JSON tree."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node


def _batches(result: Any) -> Iterator[tuple[Any, ...]]:
    while batch := result.fetchmany(16):
        yield from batch
