"""Samples to read."""

from __future__ import annotations

from ...spec.evaluation import GenerateEval
from ..generation.engine import Engine
from ..generation.prefix_tree import PrefixTree
from ..generation.requests import Request
from ..generation.settings import sampling_of
from ..models.transformer import TransformerModel
from .context import EvalContext, EvalResult


def evaluate_generate(spec: GenerateEval, model: TransformerModel, context: EvalContext) -> EvalResult:
    """Return samples as rows and `tokens`, the mean length of a continuation."""
    prompt = tuple(context.tokenizer.encode_marked(spec.prompt) or context.tokenizer.encode("\n"))
    requests = [
        Request(prompt, spec.max_tokens, sampling_of(spec.sample, context.tokenizer, spec.seed + number), spec.stop)
        for number in range(spec.samples)
    ]
    tree = PrefixTree() if spec.samples > 1 else None
    engine = Engine(model, context.tokenizer, context.toolkit, tree=tree, note=context.note)
    transcripts = engine.run(requests, share=spec.samples > 1)
    rows = [{"text": context.tokenizer.decode(t.tokens), "stop": t.stop} for t in transcripts]
    lengths = [len(t.tokens) - t.prompt for t in transcripts]
    return EvalResult({"tokens": sum(lengths) / len(lengths)}, rows)
