"""Trainings."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from ...spec.model import Transformer
from ...spec.plan import Plan, closure
from ...spec.plan_text import plan_lines
from ...spec.protocol import Automaton
from ...spec.records import TrainRecord
from ...spec.train import Train
from ..data.dataset import Dataset
from ..models.transformer import TransformerModel
from ..placement import Placement
from ..registry import builds
from ..session import Session
from ..store.files import write_whole
from ..store.run_store import NodeFolder
from ..training.loop import TrainJob, load_model, train
from ..training.observer import Observer
from .base import StoredComponent
from .sources import DialoguesNode, MeshNode, ModelNode, TextNode
from .tokenizers import with_vocabulary


@builds(Train)
@frozen(kw_only=True)
class TrainerNode(StoredComponent[TransformerModel]):
    """A training; its product is the model at the last checkpoint."""

    model: ModelNode
    data: TextNode | DialoguesNode
    mesh: MeshNode | None = None

    def placement(self, session: Session) -> Placement:
        """Return where the training runs."""
        return session.placement if self.mesh is None else session.product(self.mesh)

    def architecture(self, session: Session) -> Transformer:
        """Return the model's spec with its vocabulary. Raises LmcError (LM0406) if the data has more ids."""
        return with_vocabulary(self.model.filled(session), session.product(self.data.tokenizer))

    def work(self, session: Session, folder: NodeFolder) -> dict[str, Any]:
        """Train to the last step, watched by the observers that the session names."""
        dataset: Dataset = session.product(self.data)
        params = self.architecture(session).num_params()
        session.say("note", self.node.id, text=f"{params:,} parameters; {dataset.describe()}")
        self.write_graph(session, folder)
        observers = [observer_of(session, i) for i in session.observers.get(self.node.id, ())]
        return self.run(session, folder, dataset, observers)

    def write_graph(self, session: Session, folder: NodeFolder) -> None:
        """Write the part of the plan that loading the run needs, with the automaton of its data's protocols."""
        plan = session.plan
        spoken = getattr(self.data.spec, "protocols", ())
        automata = [
            i for i, n in plan.nodes.items() if isinstance(n.spec, Automaton) and n.spec.protocols == spoken != ()
        ]
        nodes = {i: plan.nodes[i] for i in closure(plan.nodes, [self.node.id, *automata])}
        lines = plan_lines(Plan(plan.header, nodes, (), ()))
        write_whole(folder.path / "graph.jsonl", "".join(line + "\n" for line in lines))

    def run(self, session: Session, folder: NodeFolder, dataset: Dataset, observers: list[Observer]) -> dict[str, Any]:
        """Train in `folder`."""

        def report(record: TrainRecord) -> None:
            session.say(
                "step",
                self.node.id,
                step=record.step,
                steps=self.spec.steps,
                loss=record.loss,
                tokens_per_second=record.tokens_per_second,
            )

        job = TrainJob(
            spec=self.spec,
            model=self.architecture(session),
            dataset=dataset,
            placement=self.placement(session),
            folder=folder.path,
            observers=observers,
            execution=folder.execution or session.execution,
            keep=folder.set_execution,
            start=lambda model: self.model.start(session, model, self.spec.seed),
            stop=session.stop,
            report=report,
            warn=lambda text: session.say("note", self.node.id, text=text),
        )
        progress = train(job)
        return {"step": progress.step, "loss": progress.loss, "params": job.model.num_params()}

    def repeat(self, session: Session, folder: NodeFolder, observers: list[Observer]) -> None:
        """Train again from the start in another folder, as the kept record says, for new observers."""
        job = TrainJob(
            spec=self.spec,
            model=self.architecture(session),
            dataset=session.product(self.data),
            placement=self.placement(session),
            folder=folder.path,
            observers=observers,
            execution=folder.execution,
            start=lambda model: self.model.start(session, model, self.spec.seed),
            stop=session.stop,
        )
        train(job)

    def build(self, session: Session) -> TransformerModel:
        """Load the last checkpoint."""
        path = session.folder(self.node.id).path
        return load_model(path, self.architecture(session), self.placement(session))


def observer_of(session: Session, node_id: str) -> Observer:
    """Return the observer that a probe or evaluation places on its training."""
    watcher: Any = session.components[node_id]
    observer: Observer = watcher.observer(session)
    return observer
