"""A database of each backend; the server of PostgreSQL is started once."""

from collections.abc import Iterator

import pytest
from support.databases import fill_postgres, postgres_programs, postgres_server


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of the superuser of a running PostgreSQL that holds the people and the secret."""
    programs = postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    with postgres_server(programs) as url:
        fill_postgres(url)
        yield url
