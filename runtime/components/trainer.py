"""Trainings."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from ...spec.diagnostic import Diagnostic, LmcError
from ...spec.model import Transformer
from ...spec.plan import Plan, closure
from ...spec.plan_text import plan_lines
from ...spec.protocol import Automaton
from ...spec.records import TrainRecord
from ...spec.train import Train
from ...spec.train_rules import late_violations
from ..data.dataset import Dataset
from ..models.transformer import TransformerModel
from ..overview.folders import last_checkpoint
from ..placement import Placement
from ..registry import builds
from ..session import Session
from ..store.files import write_whole
from ..store.run_store import NodeFolder
from ..training.job import Origin, TrainJob
from ..training.loop import train
from ..training.observer import Observer
from ..training.precision import parameters_in
from ..training.resume import kept_step, load_model
from ..training.saver import signed
from ..training.sizes import Slots, slots_seen
from ..training.stages import stage_at
from ..training.stopping import ends
from .base import Component, StoredComponent
from .shown import tracker_of
from .sources import DialoguesNode, MeshNode, ModelNode, TextNode
from .tokenizers import with_vocabulary


@builds(Train)
@frozen(kw_only=True)
class TrainerNode(StoredComponent[TransformerModel]):
    """A training; its product is the model at the last checkpoint."""

    model: ModelNode
    data: TextNode | DialoguesNode
    staged_data: tuple[Component[Dataset], ...] = ()
    staged_models: tuple[ModelNode, ...] = ()
    mesh: MeshNode | None = None
    origin: TrainerNode | None = None

    def placement(self, session: Session) -> Placement:
        """Return where the training runs."""
        return session.placement if self.mesh is None else session.product(self.mesh)

    def architecture(self, session: Session, step: int | None = None) -> Transformer:
        """Return the model's spec with its vocabulary, its positions those of the stage of a step if one is given.

        Raises LmcError (LM0406) if the data has more ids.
        """
        staged = self.staged_models and step is not None
        model = self.staged_models[stage_at(self.spec, step or 0)] if staged else self.model
        return with_vocabulary(model.filled(session), session.product(self.data.tokenizer))

    def load(self, session: Session, folder: Path, placement: Placement, step: int | None = None) -> TransformerModel:
        """Return the model at a checkpoint in a folder of this training: of a step, or the last.

        Raises LmcError (LM0805) as `load_model` does.
        """
        found = kept_step(folder, step)
        return load_model(folder, self.architecture(session, found), placement, found)

    def longest(self, folder: Path) -> int:
        """Return the most tokens of an example up to the last checkpoint in a folder of this training."""
        number = stage_at(self.spec, kept_step(folder, None))
        reached: list[Any] = [data.spec for data in self.staged_data[: number + 1]] or [self.data.spec]
        return max(int(data.seq_len) for data in reached)

    def seq_lens(self) -> list[int]:
        """Return the most tokens of an example, of each stage, or of the training without stages."""
        return [int(data.spec.seq_len) for data in self.staged_data or (self.data,)]

    def staged(self, session: Session) -> list[tuple[Dataset, Transformer]]:
        """Return data and architecture of the stages."""
        ends = accumulate(int(stage.steps) for stage in self.spec.stages)
        return [
            (session.product(data), self.architecture(session, end))
            for data, end in zip(self.staged_data, ends, strict=True)
        ]

    def work(self, session: Session, folder: NodeFolder) -> dict[str, Any]:
        """Train to the last step, watched by the observers that the session names."""
        began = time.monotonic()
        dataset: Dataset = session.product(self.data)
        spec = self.counted(session, folder)
        params = self.architecture(session).num_params()
        if step := last_checkpoint(folder.path):
            session.say("note", self.node.id, text=f"resumes at step {step:,}")
        if not self.spec.stages:
            session.say("note", self.node.id, text=f"{params:,} parameters; {dataset.describe(self.spec.batch)}")
        for stage, (data, _) in zip(self.spec.stages, self.staged(session), strict=True):
            text = f"{params:,} parameters; stage `{stage.name}` of {stage.steps:,} steps: {data.describe(stage.batch)}"
            session.say("note", self.node.id, text=text)
        self.write_graph(session, folder)
        looking = dict.fromkeys((*session.observers.get(self.node.id, ()), *self.deciders(session)))
        return self.run(session, folder, spec, list(looking), began)

    def counted(self, session: Session, folder: NodeFolder) -> Train:
        """Return the filled spec, its number of steps told and recorded.

        Raises LmcError where the spec breaks a rule that needs the number.
        """
        if self.spec.epochs is None:
            spec: Train = self.spec
            return spec
        spec = self.filled(session)
        examples = folder.length.get("examples") or session.product(self.data).size("train")
        folder.set_length(examples, spec.num_steps())
        text = f"{spec.epochs:g} epochs of {examples:,} examples are {spec.steps:,} steps"
        session.say("note", self.node.id, text=text)
        for violation in late_violations(spec, lambda node_id: session.plan.nodes[node_id].spec):
            raise LmcError(Diagnostic(violation.code, violation.message, None, help=violation.help))
        return spec

    def filled(self, session: Session) -> Train:
        """Return the spec with its number of steps: what the run has recorded, or counted now."""
        spec: Train = self.spec
        if spec.epochs is None:
            return spec
        known = session.folder(self.node.id).length.get("steps")
        return spec.filled(known or spec.steps_over(session.product(self.data).size("train")))

    def write_graph(self, session: Session, folder: NodeFolder) -> None:
        """Write the part of the plan that loading the run needs, with the automaton of its data's protocols."""
        plan = session.plan
        read = (self.data, *self.staged_data)
        parts = [part for data in read for part in (data, *getattr(data, "read", ()))]
        spoken = {part.spec.protocols for part in parts if getattr(part.spec, "protocols", ())}
        automata = [i for i, n in plan.nodes.items() if isinstance(n.spec, Automaton) and n.spec.protocols in spoken]
        nodes = {i: plan.nodes[i] for i in closure(plan.nodes, [self.node.id, *automata])}
        lines = plan_lines(Plan(plan.header, nodes, (), ()))
        write_whole(folder.path / "graph.jsonl", "".join(line + "\n" for line in lines))

    def run(
        self, session: Session, folder: NodeFolder, spec: Train, looking: list[str], began: float
    ) -> dict[str, Any]:
        """Train the filled spec in `folder`, with observers looking; it began at `began` of time.monotonic."""
        first: list[TrainRecord] = []
        done = slots_seen(spec, self.seq_lens())

        def report(record: TrainRecord) -> None:
            if not first:
                first.append(record)
            session.say(
                "step",
                self.node.id,
                step=record.step,
                steps=spec.steps,
                loss=record.loss,
                tokens_per_second=record.tokens_per_second,
                mfu=record.mfu,
                seconds_left=seconds_left(first[0], record, done),
            )

        job = TrainJob(
            spec=spec,
            model=self.architecture(session),
            dataset=session.product(self.data),
            placement=self.placement(session),
            folder=folder.path,
            staged=self.staged(session),
            seq_lens=self.seq_lens(),
            observers=[observer_of(session, node_id) for node_id in looking],
            execution=folder.execution or session.execution,
            origin=self.start_of(session),
            keep=folder.set_execution,
            began=began,
            start=lambda model: self.model.start(session, model, self.spec.seed),
            stop=session.stop,
            ends=self.ends(session),
            report=report,
            warn=lambda text: session.say("note", self.node.id, text=text),
            score=self.score(session, spec.num_steps()),
            track=lambda step: tracker_of(session, self, looking, step),
        )
        progress = train(job)
        return {"step": progress.step, "loss": progress.loss, "params": job.model.num_params()}

    def start_of(self, session: Session) -> Origin | None:
        """Return the checkpoint that the training starts from, if it does from one."""
        if self.origin is None:
            return None
        start = self.spec.init
        folder = session.folder(self.origin.node.id).path
        step = int(session.folder(self.origin.node.id).summary["step"] if start.step is None else start.step)
        return Origin(folder, step, start.optimizer, self.origin.model.spec.longest)

    def deciders(self, session: Session) -> list[str]:
        """Return the evaluations that the run may end because of."""
        heads = {name.split(".")[0] for name in (self.spec.stop.when.names() if self.spec.stop.when else ())}
        nodes = session.plan.nodes.items()
        return [i for i, n in nodes if n.name in heads and getattr(n.spec, "run", None) == self.node.id]

    def ends(self, session: Session) -> Callable[[int], bool]:
        """Return what tells, after a step, whether the run ends."""
        when = self.spec.stop.when
        if when is None:
            return lambda step: False
        deciders: list[Any] = [session.components[i] for i in self.deciders(session)]
        folders = {decider.node.name: session.folder(decider.node.id) for decider in deciders}
        intervals = {decider.interval(session) for decider in deciders} - {0}

        def scores(name: str) -> list[tuple[int, dict[str, float]]]:
            return [(line["step"], line["metrics"]) for line in folders[name].lines("scores.jsonl")]

        return lambda step: not all(step % interval for interval in intervals) and ends(when, scores, step)

    def score(self, session: Session, last: int) -> Callable[[int], float | None]:
        """Return what reads, after a step of `last`, the metric that `keep.best` names; smaller is better."""
        name, _, metric = (self.spec.keep.best or "").rpartition(".")
        watchers = session.observers.get(self.node.id, ())
        found = next((i for i in watchers if session.components[i].node.name == name), None)
        if found is None:
            if metric:
                text = f"no evaluation `{name}` looks at this run while it trains; `keep.best` keeps nothing"
                session.say("note", self.node.id, text=text)
            return lambda step: None
        folder, observer = session.folder(found), observer_of(session, found)

        def read(step: int) -> float | None:
            if not observer.due(step, last):
                return None
            scores = [line["metrics"] for line in folder.lines("scores.jsonl") if line["step"] == step]
            return signed(metric, scores[-1][metric]) if scores and metric in scores[-1] else None

        return read

    def repeat(self, session: Session, folder: NodeFolder, observers: list[Observer]) -> None:
        """Train again in another folder, as the kept record says, for new observers, in one go, to where it ended."""
        job = TrainJob(
            spec=evolve(self.filled(session), limits=evolve(self.spec.limits, wall=None)),
            model=self.architecture(session),
            dataset=session.product(self.data),
            placement=self.placement(session),
            folder=folder.path,
            staged=self.staged(session),
            seq_lens=self.seq_lens(),
            observers=observers,
            execution=folder.execution,
            origin=self.start_of(session),
            start=lambda model: self.model.start(session, model, self.spec.seed),
            stop=session.stop,
            ends=lambda step: step == folder.summary["step"],
        )
        train(job)

    def build(self, session: Session) -> TransformerModel:
        """Load the last checkpoint."""
        return self.load(session, session.folder(self.node.id).path, self.loading(session))

    def loading(self, session: Session) -> Placement:
        """Return where the trained weights are put, in the dtype in which they were trained."""
        return parameters_in(self.spec.precision, self.placement(session))


def seconds_left(first: TrainRecord, now: TrainRecord, done: Slots) -> float | None:
    """Return the seconds to the last step at the rate since the first record of this process; None at that one.

    `done` is what has been done after each step, in a unit that takes about the same time.
    """
    if now.step == first.step:
        return None
    rate = (now.seconds - first.seconds) / (done[now.step] - done[first.step])
    return (done[-1] - done[now.step]) * rate


def observer_of(session: Session, node_id: str) -> Observer:
    """Return the observer that a probe or evaluation places on its training."""
    watcher: Any = session.components[node_id]
    observer: Observer = watcher.observer(session)
    return observer
