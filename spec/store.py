"""Databases that tools query and data sets are made from."""

from __future__ import annotations

from typing import Any, Literal

from attrs import Factory, frozen

from .schema import allows, option, variant
from .units import Env, FilePath


@allows(minItems=1, uniqueItems=True)
def _distinct(instance: Any, attribute: Any, value: tuple[str, ...]) -> None:
    """Different columns, at least one."""
    if not value or len(set(value)) < len(value):
        raise ValueError(f"'{attribute.name}' must be a list of different columns: {value!r}")


@variant("table", "people")
@frozen(kw_only=True, repr=False)
class People:
    """A made table of people, key `name` (ITL, arXiv 2508.20755; every first-last pair once, order by `seed`)."""

    seed: int = option("Seed of order and values.", default=42)
    columns: tuple[Literal["birth_date", "birth_year", "birth_place", "current_address", "occupation"], ...] = option(
        "The columns besides the key; `birth_year` is the year of the birth date.",
        default=("birth_date", "birth_place", "current_address", "occupation"),
        validator=_distinct,
    )
    first_names: FilePath | None = option("Pool, one entry a line; the shipped pool if none.", default=None)
    last_names: FilePath | None = option("Pool, one entry a line; the shipped pool if none.", default=None)
    cities: FilePath | None = option("Pool of `current_address`; the shipped pool if none.", default=None)
    countries: FilePath | None = option("Pool of `birth_place`; the shipped pool if none.", default=None)
    occupations: FilePath | None = option("Pool, one entry a line; the shipped pool if none.", default=None)

    @property
    def key(self) -> str:
        """The column that names a row."""
        return "name"


@variant("table", "")
@frozen(kw_only=True, repr=False)
class Table:
    """A table that the store already holds."""

    key: str = option("The column that names a row.", default="name")
    columns: tuple[str, ...] = option("The columns besides the key.")


@variant("store", "sqlite")
@frozen(kw_only=True, repr=False)
class Sqlite:
    """An SQLite file. Tables with a variant are made; a file whose tables are all described must exist."""

    file: FilePath = option("The file; a made one is an artifact of the run store under this base name.")
    tables: dict[str, People | Table] = option("Its tables.", repeat="table", default=Factory(dict))


@variant("store", "duckdb")
@frozen(kw_only=True, repr=False)
class Duckdb:
    """A DuckDB file. Tables with a variant are made; a file whose tables are all described must exist."""

    file: FilePath = option("The file; a made one is an artifact of the run store under this base name.")
    tables: dict[str, People | Table] = option("Its tables.", repeat="table", default=Factory(dict))


@variant("store", "postgres")
@frozen(kw_only=True, repr=False)
class Postgres:
    """A PostgreSQL database. Its tables are described and must exist; what they hold is not part of any digest."""

    url: str | Env = option(
        'postgresql://user@host:port/database; env("NAME") reads it from the environment of the run, '
        "so that a password is written nowhere."
    )
    schema: str | None = option("Schema of the tables; none: the role's search path.", default=None)
    tables: dict[str, Table] = option("Its tables.", repeat="table", default=Factory(dict))
