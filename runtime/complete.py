"""`lmc generate`: load a finished run from the store and continue a prompt, with its tools."""

from __future__ import annotations

from pathlib import Path

from ..spec.diagnostic import Diagnostic, LmcError
from ..spec.protocol import Automaton
from .components.tools import AutomatonNode
from .finished import open_run
from .generation.engine import Engine, Request
from .generation.sampling import Sampling
from .generation.toolkit import Toolkit
from .session import Session
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
    """Return the prompt and its continuation.

    Raises LmcError: LM0809 for an unknown or ambiguous run, LM0810 for an empty prompt.
    """
    found = open_run(store, name, device)
    session, run = found.session, found.run
    tokenizer = session.product(run.data.tokenizer)
    model = load_model(found.folder, run.architecture(session), session.placement)
    engine = Engine(model, tokenizer, _toolkit(session))
    sampling = Sampling(temperature, top_k, top_p, seed)
    tokens = tuple(tokenizer.encode_marked(prompt))
    if not tokens:
        raise LmcError(Diagnostic("LM0810", "the prompt is empty", None, help="begin with a special token or a word"))
    (transcript,) = engine.run([Request(tokens, max_tokens, sampling)])
    return str(tokenizer.decode(transcript.tokens))


def _toolkit(session: Session) -> Toolkit | None:
    for node_id, node in session.plan.nodes.items():
        component = session.components[node_id]
        if isinstance(node.spec, Automaton) and isinstance(component, AutomatonNode):
            toolkit: Toolkit = session.product(component)
            return toolkit
    return None
