"""`lmc generate`: load a finished run from the store and continue a prompt, with its tools."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ..spec.diagnostic import Diagnostic, LmcError
from ..spec.plan import Plan
from ..spec.plan_text import parse_plan
from ..spec.protocol import Automaton
from .components.base import Component
from .components.tools import AutomatonNode
from .components.trainer import TrainerNode
from .generation.engine import Engine, Request
from .generation.sampling import Sampling
from .generation.toolkit import Toolkit
from .graph import wire
from .inputs import InputDigests
from .placement import default_placement
from .session import Session
from .store.run_store import RunStore
from .training.loop import load_model


def complete(
    store: Path,
    name: str,
    prompt: str,
    *,
    max_tokens: int,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    seed: int,
    device: str | None,
) -> str:
    """Return the prompt and its continuation. Raises LmcError (LM0809) for an unknown or ambiguous run."""
    folder = _find(RunStore(store), name)
    plan = parse_plan((folder / "graph.jsonl").read_text(encoding="utf-8").splitlines(), str(folder / "graph.jsonl"))
    components = wire(plan)
    session = Session(
        plan=plan,
        components=components,
        names={},
        observers={},
        store=RunStore(store),
        digests=InputDigests(plan),
        placement=default_placement(device),
        emit=lambda event: None,
        stop=lambda: False,
        started=time.time(),
    )
    run = components[folder.name.split("-")[0]]
    assert isinstance(run, TrainerNode)
    tokenizer = session.product(run.data.tokenizer)
    model = load_model(folder, run.architecture(session), session.placement)
    engine = Engine(model, tokenizer, _toolkit(plan, components, session))
    sampling = Sampling(temperature, top_k, top_p, seed)
    (transcript,) = engine.run([Request(tuple(tokenizer.encode_marked(prompt)), max_tokens, sampling)])
    return str(tokenizer.decode(transcript.tokens))


def _toolkit(plan: Plan, components: dict[str, Component[Any]], session: Session) -> Toolkit | None:
    for node_id, node in plan.nodes.items():
        component = components[node_id]
        if isinstance(node.spec, Automaton) and isinstance(component, AutomatonNode):
            toolkit: Toolkit = session.product(component)
            return toolkit
    return None


def _find(store: RunStore, name: str) -> Path:
    found = [path for path in store.find(name) if (path / "graph.jsonl").is_file()]
    if len(found) == 1:
        return found[0]
    what = f"{len(found)} runs are called" if found else "no finished run is called"
    ids = ", ".join(path.name.split("-")[0] for path in found)
    help = f"name one by its id: {ids}" if found else "`lmc run` prints the names"
    raise LmcError(Diagnostic("LM0809", f"{what} `{name}` in `{store.path}`", None, help=help))
