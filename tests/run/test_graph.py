"""The runtime graph: one builder for every variant, and components that mirror their specs."""

import attrs

from lmc.runtime import graph  # noqa: F401  (registers every builder)
from lmc.runtime.components.base import Component
from lmc.runtime.registry import BUILDERS
from lmc.runtime.training import loop  # noqa: F401
from lmc.spec.schema import REGISTRY, fields, runs

SPEC_ONLY = {
    *("call", "reply", "split", "part", "table", "scale", "sample", "bias"),
    *("every", "keep", "profile", "precision", "remat", "group", "loss", "adamw", "start", "stop"),
    *("limits", "stage", "on", "donor", "segment", "secrets"),
}
"""Kinds that are parts of others and are read by their owner's builder."""


def test_every_variant_has_one_builder_or_is_a_part_of_another() -> None:
    built = {cls for variants in REGISTRY.values() for cls in variants.values() if cls in BUILDERS}
    parts = {cls for kind, variants in REGISTRY.items() for cls in variants.values() if kind in SPEC_ONLY}
    everything = {cls for variants in REGISTRY.values() for cls in variants.values()}
    ahead = {cls for cls in everything if not runs(cls)}
    assert built | parts | ahead == everything
    assert not ahead & (built | parts)
    assert not built & parts
    assert set(BUILDERS) <= everything


def test_components_have_an_attribute_per_reference() -> None:
    for spec, builder in BUILDERS.items():
        if isinstance(builder, type) and issubclass(builder, Component):
            references = {n for n, a in fields(spec).items() if a.metadata["ref"] and a.metadata["ref"] != "source"}
            own = set(attrs.fields_dict(builder)) - {"node"}
            assert references <= own, builder.__name__
