"""A database of each backend; the server of PostgreSQL is started once."""

from collections.abc import Iterator

import pytest
from support.databases import postgres_of_people


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of the superuser of a running PostgreSQL that holds the people and the secret."""
    with postgres_of_people() as url:
        yield url
