"""One entry for every evaluation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...spec.evaluation import AnswersEval, GenerateEval, LossEval
from ..models.transformer import TransformerModel
from ..training.observer import undisturbed
from .answers import evaluate_answers
from .context import EvalContext, EvalResult
from .loss import evaluate_loss
from .samples import evaluate_generate

EVALUATIONS: dict[type, Callable[..., EvalResult]] = {
    AnswersEval: evaluate_answers,
    GenerateEval: evaluate_generate,
    LossEval: evaluate_loss,
}


def evaluate(spec: Any, model: TransformerModel, context: EvalContext) -> EvalResult:
    """Evaluate a model; its mode and torch's random state are left as they were."""
    with undisturbed(model):
        model.eval()
        return EVALUATIONS[type(spec)](spec, model, context)


__all__ = ["EVALUATIONS", "EvalContext", "EvalResult", "evaluate"]
