"""Secrets of trainings: the variables of the environment under which libraries look for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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
