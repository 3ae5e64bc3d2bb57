"""Evaluations: as nodes after a training, and as observers of it."""

from __future__ import annotations

from typing import Any

from attrs import asdict, frozen

from ...spec.evaluation import AnswersEval, GenerateEval, LossEval
from ...spec.records import Scores
from ..evaluation.evaluate import EvalContext, EvalResult, evaluate
from ..models.transformer import TransformerModel
from ..registry import builds
from ..session import Session
from ..store.run_store import NodeFolder
from .base import StoredComponent
from .shown import show_scores
from .sources import DialoguesNode, ModelNode, TextNode
from .tools import AutomatonNode, ProtocolNode
from .trainer import TrainerNode


@builds(LossEval, AnswersEval, GenerateEval)
@frozen(kw_only=True)
class EvaluatorNode(StoredComponent[Scores]):
    """An evaluation of a training at its last step, or of a model; `scores.jsonl` has one line per evaluated step."""

    run: TrainerNode | ModelNode
    data: TextNode | DialoguesNode | None = None
    protocols: tuple[ProtocolNode, ...] = ()
    automaton: AutomatonNode | None = None

    def work(self, session: Session, folder: NodeFolder) -> dict[str, Any]:
        """Evaluate the last checkpoint, or the weights that trainings of a model start from as those of step 0."""
        trained = self.run if isinstance(self.run, TrainerNode) else None
        step = 0 if trained is None else int(session.folder(trained.node.id).summary["step"])
        result = self.score(session, session.product(self.run), folder)
        if self.record(folder, step, result) and trained is not None:
            show_scores(session, trained, self.node.name, step, folder.path / "scores.jsonl")
        folder.write_lines("rows.jsonl", result.rows)
        return {"step": step, "metrics": result.metrics}

    def score(self, session: Session, model: TransformerModel, folder: NodeFolder) -> EvalResult:
        """Evaluate a model."""
        trained = self.run if isinstance(self.run, TrainerNode) else None
        data = self.data if self.data is not None or trained is None else trained.data
        reads: Any = self.run if data is None else data
        context = EvalContext(
            dataset=None if data is None else session.product(data),
            tokenizer=session.product(reads.tokenizer),
            toolkit=None if self.automaton is None else session.product(self.automaton),
            database=session.product(data.rows) if isinstance(data, DialoguesNode) else None,
            placement=session.placement if trained is None else trained.placement(session),
            folder=folder.path,
            note=lambda text: session.say("note", self.node.id, text=text),
        )
        return evaluate(self.spec, model, context)

    def record(self, folder: NodeFolder, step: int, result: EvalResult) -> bool:
        """Append the scores of one step, unless they are there: of a run that ended with this evaluation."""
        if any(line["step"] == step for line in folder.lines("scores.jsonl")):
            return False
        folder.append("scores.jsonl", asdict(Scores(name=self.node.name, step=step, metrics=result.metrics)))
        return True

    @property
    def watches(self) -> bool:
        """Whether it is made while the run trains as well, not only at the end."""
        trained = isinstance(self.run, TrainerNode)
        return trained and (self.spec.every is not None or isinstance(self.spec, LossEval) or self.decides)

    def interval(self, session: Session) -> int:
        """Return the steps between evaluations of one that `watches`."""
        every: int | None = self.spec.every
        assert isinstance(self.run, TrainerNode)
        return int(self.run.filled(session).every.eval or 0) if every is None else every

    @property
    def decides(self) -> bool:
        """Whether the run may end because of this evaluation."""
        when = self.run.spec.stop.when if isinstance(self.run, TrainerNode) else None
        return when is not None and any(name.split(".")[0] == self.node.name for name in when.names())

    def observer(self, session: Session) -> EvalObserver:
        """Return the observer that evaluates during training."""
        folder = session.folder(self.node.id)
        folder.create()
        return EvalObserver(node=self, session=session, folder=folder, every=self.interval(session))

    def build(self, session: Session) -> Scores:
        """Return the scores of the last step."""
        summary = session.folder(self.node.id).summary
        return Scores(name=self.node.name, step=summary["step"], metrics=summary["metrics"])


@frozen(kw_only=True)
class EvalObserver:
    """Evaluates every so many steps; the last step is the node's own."""

    node: EvaluatorNode
    session: Session
    folder: NodeFolder
    every: int

    def due(self, step: int, last: int) -> bool:
        """Whether to evaluate after `step` of `last` steps."""
        return self.every > 0 and step % self.every == 0 and step < last

    def before(self, step: int, model: TransformerModel) -> None:
        """Do nothing: evaluations only look at the weights after a step."""

    def after(self, step: int, model: TransformerModel) -> None:
        """Evaluate and append the scores."""
        self.node.record(self.folder, step, self.node.score(self.session, model, self.folder))
