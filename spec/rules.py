"""Cross-checks: what must hold between the fields of a spec, and between a spec and those that it refers to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .data import Mixture, Mqar, Text
from .data_rules import mixture_violations, text_violations, tokenizer_violations
from .look_rules import look_violations
from .mesh import Mesh
from .model import Residual, Transformer
from .model_rules import model_violations
from .protocol import PythonProtocol, SearchProtocol, SqlProtocol
from .protocol_rules import protocol_violations
from .recall_rules import recall_violations
from .schema import kind_of
from .tokenizer import BpeTokenizer, ByteTokenizer, HfTokenizer, TiktokenTokenizer
from .train import Train
from .train_rules import train_violations
from .violation import Lookup, Violation


def violations(spec: Any, lookup: Lookup) -> Iterator[Violation]:
    """Yield the rules that a spec breaks."""
    if isinstance(spec, Transformer | Residual):
        yield from model_violations(spec, lookup)
    elif isinstance(spec, ByteTokenizer | TiktokenTokenizer | BpeTokenizer | HfTokenizer):
        yield from tokenizer_violations(spec)
    elif isinstance(spec, Mesh):
        yield from _mesh(spec)
    elif isinstance(spec, Text):
        yield from text_violations(spec, lookup)
    elif isinstance(spec, Mixture):
        yield from mixture_violations(spec, lookup)
    elif isinstance(spec, SqlProtocol | PythonProtocol | SearchProtocol):
        yield from protocol_violations(spec, lookup)
    elif isinstance(spec, Mqar):
        yield from recall_violations(spec)
    elif isinstance(spec, Train):
        yield from train_violations(spec, lookup)
    elif kind_of(type(spec)) in ("eval", "probe"):
        yield from look_violations(spec, lookup)


def _mesh(spec: Mesh) -> Iterator[Violation]:
    product = spec.dp * spec.tp
    if product != spec.devices:
        message = f"dp x tp is {product} but the mesh has {spec.devices} devices"
        help = f"write devices = {product}, or drop it to have it derived"
        yield Violation("LM0404", message, ("devices",), help, fix=str(product))
