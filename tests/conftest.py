"""What every test of the runtime shares: tiny models, made people, tokenizers."""

from pathlib import Path

import pytest
import torch

from lmc.runtime.placement import Placement
from lmc.runtime.stores.base import Database
from lmc.runtime.stores.open import make_store
from lmc.runtime.tokenizers.base import Tokenizer
from lmc.runtime.tokenizers.build import build_tokenizer
from lmc.spec.store import People, Sqlite
from lmc.spec.tokenizer import ByteTokenizer
from lmc.spec.units import FilePath

ROOT = Path(__file__).parent.parent
SPEAKERS = ("<|user|>", "<|assistant|>", "<|database|>", "<|eod|>")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write golden files instead of comparing")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(False)


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return build_tokenizer(ByteTokenizer(specials=SPEAKERS))


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Database:
    """A database of people over small pools, made as a run makes it."""
    folder = tmp_path_factory.mktemp("people")
    pools = {
        "first_names": [f"First{i}" for i in range(8)],
        "last_names": [f"Last{i}" for i in range(8)],
        "cities": [f"City{i}" for i in range(5)],
        "countries": ["Arvenia", "Belmark", "Corland"],
        "occupations": ["baker", "pilot", "poet", "Zoë"],
    }
    for name, entries in pools.items():
        (folder / f"{name}.txt").write_text("\n".join(entries) + "\n", encoding="utf-8")
    table = People(seed=42, **{name: FilePath(f"{name}.txt") for name in pools})
    return make_store(Sqlite(file=FilePath("people.db"), tables={"people": table}), folder, folder)


@pytest.fixture
def cpu() -> Placement:
    return Placement(torch.device("cpu"))


@pytest.fixture
def exact() -> Placement:
    """Double precision, for equalities that must not depend on the order of sums."""
    return Placement(torch.device("cpu"), torch.float64)
