"""Secrets of trainings: the variables of the environment under which libraries look for them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from ..spec.plan import Plan
from ..spec.train import Train

READ_AS = {"hub": "HF_TOKEN", "wandb": "WANDB_API_KEY"}


def secret_variables(plan: Plan, nodes: Iterable[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return what workers need set, from the variables that `secrets` names; those that are not set are left out."""
    found = {}
    for node_id in nodes:
        spec = plan.nodes[node_id].spec
        for field, variable in READ_AS.items() if isinstance(spec, Train) else ():
            named = getattr(spec.secrets, field)
            if named is not None and named.name in environment:
                found[variable] = environment[named.name]
    return found


@contextmanager
def variables(found: Mapping[str, str]) -> Iterator[None]:
    """Set variables of this process's environment for a while."""
    before = {name: os.environ.get(name) for name in found}
    os.environ.update(found)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
