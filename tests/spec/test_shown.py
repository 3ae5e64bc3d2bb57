from typing import Any

import attrs
import pytest

from lmc.compiler.syntax import tree
from lmc.spec import automaton, plan, records
from lmc.spec.shown import Shown

CLASSES = [
    cls
    for module in (tree, plan, automaton, records)
    for cls in vars(module).values()
    if isinstance(cls, type) and issubclass(cls, Shown) and cls is not Shown
]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_a_class_is_shown_as_attrs_would_show_it(cls: Any) -> None:
    fields = attrs.fields(cls)
    written = {field.name: attrs.field(repr=field.repr) for field in fields}
    twin: Any = attrs.make_class(cls.__name__, written)
    values = {field.name: ("a", number) for number, field in enumerate(fields)}
    assert repr(cls(**values)) == repr(twin(**values))


def test_every_kind_of_node_is_there() -> None:
    assert {tree.String, plan.Point, automaton.Event, records.TrainRecord} <= set(CLASSES)
