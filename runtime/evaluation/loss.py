"""Mean cross entropy over trained positions, in nats per token and bits per byte."""

from __future__ import annotations

import math

import torch

from ...spec.diagnostic import Diagnostic, LmcError
from ...spec.evaluation import LossEval
from ..data.batch import collate
from ..data.order import Draw
from ..models.transformer import TransformerModel
from ..training.loss import batch_loss
from .context import EvalContext, EvalResult

EXAMPLES_AT_ONCE = 64


def evaluate_loss(spec: LossEval, model: TransformerModel, context: EvalContext) -> EvalResult:
    """Return `loss` (nats per trained token) and `bits_per_byte` over the first `examples` of a split.

    Raises LmcError (LM0705) where the split has no example, or none that is trained on.
    """
    dataset = context.dataset
    assert dataset is not None
    size = dataset.size(spec.split)
    count = size if spec.examples is None else min(size, spec.examples)
    nats = tokens = 0.0
    with torch.inference_mode():
        for start in range(0, count, EXAMPLES_AT_ONCE):
            draws = [Draw(index, index) for index in range(start, min(count, start + EXAMPLES_AT_ONCE))]
            batches = collate([dataset.example(spec.split, draw) for draw in draws])
            nats += sum(float(batch_loss(model, batch.to(context.placement))) * batch.n_loss for batch in batches)
            tokens += batches[0].n_loss
    if not tokens:
        raise _nothing(spec, count)
    size_in_bytes = sum(dataset.bytes_trained(spec.split, index) for index in range(count))
    bits = nats / math.log(2) / size_in_bytes if size_in_bytes else math.nan
    return EvalResult({"loss": nats / tokens, "bits_per_byte": bits})


def _nothing(spec: LossEval, count: int) -> LmcError:
    if count:
        message = f"none of the {count:,} examples that are evaluated has a token that is learned"
        return LmcError(Diagnostic("LM0705", message, None, help="set `learn` of the dialogues"))
    message = f"the `{spec.split}` part of the data has no whole example to evaluate"
    help = f"raise `split.{spec.split}`, lower `seq_len`, or give the evaluation other data"
    return LmcError(Diagnostic("LM0705", message, None, help=help))
