"""Whether the weights of a folder are those of a model: what its shapes do not show, and which option differs."""

from __future__ import annotations

from typing import Any

from attrs import asdict, evolve

from ...spec.diagnostic import Diagnostic, LmcError
from ...spec.model import Attention, Rope, Scaling, SwiGLU, Transformer, YarnScaling
from ...spec.schema import variant_of
from .files import CONFIG


def check_same(model: Transformer, found: Transformer, name: str) -> None:
    """Raise LmcError (LM0713) for the first option in which a model differs from the folder `name`."""
    theirs = options(found)
    for path, ours in options(model).items():
        if path not in theirs or ours != theirs[path]:
            raise _differs(path, shown(ours), shown(theirs.get(path)), name)
    if model.num_ids() < found.num_ids():
        raise _differs("vocab", str(model.num_ids()), str(found.num_ids()), name, " or more")


def options(spec: Transformer) -> dict[str, Any]:
    """Return what the weights of a model depend on, by path, without the vocabulary."""
    mixer, mlp, positions = spec.mixer, spec.mlp, spec.positions
    found: dict[str, Any] = {"layers": spec.layers, "width": spec.width, "tied": spec.tied, "mixer": type(mixer)}
    if isinstance(mixer, Attention):
        found |= {"mixer.heads": mixer.heads, "mixer.kv_heads": mixer.kv_heads}
        found |= {"mixer.head_dim": mixer.head_size(spec.width), "mixer.bias": mixer.bias}
        found |= {"mixer.window": mixer.window, "mixer.sinks": mixer.sinks}
    found |= {"mlp": type(mlp), "norm.eps": spec.norm.eps, "positions": type(positions)}
    if isinstance(mlp, SwiGLU):
        found |= {"mlp.hidden": mlp.hidden, "mlp.bias": mlp.bias}
    if isinstance(positions, Rope):
        found |= {"positions.theta": positions.theta, "positions.unit": positions.unit}
        scaling = positions.scaling
        if isinstance(scaling, YarnScaling):  # so that 0.1 ln(factor) + 1 is the same, written or not
            scaling = evolve(scaling, attention=scaling.multiplier)
        found["positions.scaling"] = scaling
    return found


def shown(value: Any) -> str:
    """Return the value of an option as the language writes it."""
    if isinstance(value, type):
        return variant_of(value)
    if isinstance(value, Scaling):
        fields = ", ".join(f"{key} = {shown(item)}" for key, item in asdict(value).items())
        return f"{variant_of(type(value))} {{ {fields} }}"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "none"}[value]
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _differs(path: str, ours: str, theirs: str, name: str, more: str = "") -> LmcError:
    message = f"`{path}` is {ours} in the model and {theirs} in {CONFIG} of `{name}`"
    return LmcError(Diagnostic("LM0713", message, None, help=f"set `{path}` to {theirs}{more}"))
