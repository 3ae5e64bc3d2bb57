"""Databases that tools query and data sets are made from."""

from __future__ import annotations

from attrs import Factory, frozen

from .schema import option, variant
from .units import FilePath


@variant("table", "people")
@frozen(kw_only=True)
class People:
    """A made table of people, key `name` (ITL, arXiv 2508.20755; every first-last pair once, order by `seed`)."""

    seed: int = option("Seed of order and values.", default=42)
    first_names: FilePath | None = option("Pool, one entry a line; the shipped pool if none.", default=None)
    last_names: FilePath | None = option("Pool, one entry a line; the shipped pool if none.", default=None)
    cities: FilePath | None = option("Pool of `current_address`; the shipped pool if none.", default=None)
    countries: FilePath | None = option("Pool of `birth_place`; the shipped pool if none.", default=None)
    occupations: FilePath | None = option("Pool, one entry a line; the shipped pool if none.", default=None)

    @property
    def key(self) -> str:
        """The column that names a row."""
        return "name"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns besides the key."""
        return ("birth_date", "birth_place", "current_address", "occupation")


@variant("table", "")
@frozen(kw_only=True)
class Table:
    """A table that the file already holds."""

    key: str = option("The column that names a row.", default="name")
    columns: tuple[str, ...] = option("The columns besides the key.")


@variant("store", "sqlite")
@frozen(kw_only=True)
class Sqlite:
    """An SQLite file. Tables with a variant are made; a file whose tables are all described must exist."""

    file: FilePath = option("The file; a made one is an artifact of the run store under this base name.")
    tables: dict[str, People | Table] = option("Its tables.", repeat="table", default=Factory(dict))
