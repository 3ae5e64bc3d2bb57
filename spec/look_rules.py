"""Cross-checks of what looks at a run: evaluations and probes against the run, its model and its data."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from .data import Dialogues, Mixture, Mqar, Text
from .evaluation import AnswersEval, GenerateEval, LossEval, PerTokenEval
from .model_rules import too_long
from .probe import InterveneProbe, sites
from .train import Train
from .violation import Lookup, Violation


def look_violations(spec: Any, lookup: Lookup) -> Iterator[Violation]:
    """Yield the rules that an evaluation or probe breaks."""
    run = lookup(spec.run)
    if not isinstance(run, Train):
        yield from _model_violations(spec, run, lookup)
        return
    yield from _checkpoint(spec, run, "checkpoint")
    if hasattr(spec, "at"):
        yield from _sites(spec, lookup(run.model))
    if isinstance(spec, InterveneProbe):
        donor = lookup(spec.donor.run)
        yield from _checkpoint(spec.donor, donor, "donor.checkpoint")
        missing = [site for site in sites(lookup(run.model)) if site not in set(sites(lookup(donor.model)))]
        if any(fnmatchcase(site, pattern) for site in missing for pattern in spec.at):
            message = f"the donor's model has no site `{missing[0]}`"
            yield Violation("LM0506", message, ("donor.run", "at"), "choose a donor of the same shape")
    if isinstance(spec, AnswersEval) and not isinstance(lookup(spec.data or run.data), Dialogues):
        message = "`answers` asks the questions of dialogues, and the data has none"
        paths = ("data",) if spec.data is not None else ("run", "run:data")
        yield Violation("LM0310", message, paths, "set `data` to a `dialogues`, or evaluate the loss")
    if isinstance(spec, LossEval):
        yield from _loss(spec, run.model, run.data, lookup)
    if isinstance(spec, PerTokenEval):
        yield from _slices(spec, lookup(spec.data or run.data))


def _loss(spec: LossEval, model: str, learnt: str, lookup: Lookup) -> Iterator[Violation]:
    message = "" if spec.data is None else too_long(lookup(model), lookup(spec.data))
    if message:
        yield Violation("LM0303", message, ("data",), "evaluate shorter texts, or let the model learn more positions")
    node, path = (learnt, "run:data") if spec.data is None else (spec.data, "data")
    if _is_empty(lookup(node), spec.split, lookup):
        message = f"there is nothing to evaluate: `split.{spec.split}` of the data is 0"
        where = f"{path}:split.{spec.split}" if isinstance(lookup(node), Text) else path
        other = "train" if spec.split == "valid" else "valid"
        help = f'raise `split.{spec.split}`, set `split = "{other}"` in the evaluation, or give it other data'
        yield Violation("LM0303", message, (where, "split"), help)


def _is_empty(data: Any, part: str, lookup: Lookup) -> bool:
    """Whether a part of data is known to hold no example: of a text its share says so, of a mixture all its texts."""
    if isinstance(data, Mixture):
        return all(_is_empty(lookup(read), part, lookup) for read in data.read)
    return isinstance(data, Text) and getattr(data.split, part) == 0


def _model_violations(spec: Any, model: Any, lookup: Lookup) -> Iterator[Violation]:
    """Yield what is wrong with an evaluation of a model that no training is behind."""
    for name, neutral in (("checkpoint", "last"), ("every", None)):
        if getattr(spec, name) != neutral:
            yield Violation("LM0408", "a model is not trained: it has no checkpoints", (name,), "name a train as `run`")
    if model.tokenizer is None:
        yield Violation("LM0406", "the model has no tokenizer to be evaluated with", ("run",), "set `tokenizer` in it")
    if isinstance(spec, GenerateEval):
        return
    if spec.data is None:
        yield Violation("LM0209", "an evaluation of a model says which data are meant", ("run",), "add data = ...")
    elif lookup(spec.data).tokenizer != model.tokenizer:
        yield Violation("LM0406", "the model and the data have different tokenizers", ("run", "data"), "use one")
    elif isinstance(spec, AnswersEval) and not isinstance(lookup(spec.data), Dialogues):
        yield Violation("LM0310", "`answers` asks the questions of dialogues, and the data has none", ("data",))
    elif isinstance(spec, LossEval):
        yield from _loss(spec, spec.run, spec.data, lookup)
    elif isinstance(spec, PerTokenEval):
        yield from _slices(spec, lookup(spec.data))


def _checkpoint(spec: Any, run: Any, path: str) -> Iterator[Violation]:
    """Yield what is wrong with the checkpoint that is named: the run must keep it."""
    if spec.checkpoint == "best" and run.keep.best is None:
        yield Violation(
            "LM0408", "the run keeps no best checkpoint", (path,), "set keep.best = EVAL.METRIC in the train"
        )
    elif isinstance(spec.checkpoint, int) and run.steps is not None and not run.keeps(spec.checkpoint):
        message = f"the run keeps no checkpoint of step {spec.checkpoint:,}"
        yield Violation("LM0408", message, (path,), f"name another step: {run.kept_steps()}")


def _sites(spec: Any, model: Any) -> Iterator[Violation]:
    known = list(sites(model))
    for pattern in spec.at:
        if not any(fnmatchcase(name, pattern) for name in known):
            near = difflib.get_close_matches(pattern, known, 1)
            help = (
                f"did you mean `{near[0]}`?" if near else f"sites are {', '.join(dict.fromkeys(map(_general, known)))}"
            )
            yield Violation("LM0506", f"the model has no site `{pattern}`", ("at",), help)


def _general(site: str) -> str:
    """Return the name of a site of any block."""
    parts = site.split(".")
    return ".".join("*" if part.isdigit() else part for part in parts)


def _slices(spec: PerTokenEval, data: Any) -> Iterator[Violation]:
    known = ("pairs", "seq_len", "position") if isinstance(data, Mqar) else ("position",)
    for name in spec.slice:
        if name not in known:
            message = f"examples of these data have no `{name}` to slice by"
            yield Violation("LM0304", message, ("slice",), f"they have {', '.join(known)}")
