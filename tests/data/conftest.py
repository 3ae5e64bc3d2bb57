"""What tests of data share."""

import pytest
from support.generation import CALCULATOR, LOOKUP, toolkit_for

from lmc.runtime.generation.toolkit import Toolkit
from lmc.runtime.stores.base import Database
from lmc.runtime.tokenizers.base import Tokenizer


@pytest.fixture
def toolkit(people: Database, tokenizer: Tokenizer) -> Toolkit:
    return toolkit_for(people, tokenizer, LOOKUP, CALCULATOR)
