"""CPU time of the 7,800 configurations of the example's grid: lmc beside OmegaConf and Hydra, in one process and run.

    python benchmarks/bench_configs.py [--repeat N] [--json FILE]

All give the settings of the train, the model, the data and the evaluation of every run; whether they are the same is
checked first. lmc also types and checks them, gives every node its id and writes the plan. OmegaConf merges a base with
the values of a point and resolves its interpolations; Hydra's `compose` takes the values as overrides. Both are slow,
and so are asked for every EACH-th point, from which their totals are reckoned. A library that is not installed is left
out: pip install hydra-core omegaconf.
"""

import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from processes import EXAMPLE, read_options, report

from lmc.compiler.commands.common import uncollected
from lmc.compiler.pipeline import compile_spec
from lmc.compiler.plan.write import write_plan
from lmc.spec.plain import unstructure
from lmc.spec.plan import Plan, Point
from lmc.spec.schema import fields

EACH = 131
NAME = "${data.mode}-n${data.count}-d${model.width}-s${train.seed}"


def settings(plan: Plan, point: Point) -> dict[str, Any]:
    """The settings of a run as nested plain values; what refers to a block holds its name."""
    train = plan.nodes[point.run].spec
    blocks = {"train": train, "model": plan.nodes[train.model].spec, "data": plan.nodes[train.data].spec}
    blocks["eval"] = plan.nodes[point.evals["exact"]].spec
    return {"name": point.name, **{name: _written(plan, spec) for name, spec in blocks.items()}}


def _written(plan: Plan, spec: Any) -> dict[str, Any]:
    found = unstructure(spec)
    for name, field in fields(type(spec)).items():
        if field.metadata["hidden"]:
            del found[name]
        elif field.metadata["ref"] and found[name]:
            listed = found[name] if isinstance(found[name], list) else [found[name]]
            names = [plan.nodes[item.partition("/")[0]].name for item in listed]
            found[name] = names if isinstance(found[name], list) else names[0]
    return found


def by_lmc(folder: Path) -> None:
    with uncollected():
        compiled = compile_spec(EXAMPLE)
        assert compiled.plan is not None
        write_plan(compiled.plan, compiled.sourcemap(), folder / "plan")


def by_omegaconf(folder: Path, points: Iterable[Point]) -> list[Any]:
    from omegaconf import OmegaConf

    bases = {mode: OmegaConf.load(folder / f"{mode}.yaml") for mode in ("tool", "weight")}
    found = []
    for point in points:
        count, mode, width, seed = point.axes.values()
        values = {"data": {"count": count}, "model": {"width": width}, "train": {"seed": seed}}
        found.append(OmegaConf.to_container(OmegaConf.merge(bases[mode], values), resolve=True))
    return found


def by_hydra(folder: Path, points: Iterable[Point]) -> list[Any]:
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    found = []
    with initialize_config_dir(str(folder), version_base=None):
        for point in points:
            count, mode, width, seed = point.axes.values()
            overrides = [f"data.count={count}", f"model.width={width}", f"train.seed={seed}"]
            found.append(OmegaConf.to_container(compose(mode, overrides), resolve=True))
    return found


def timed(call: Callable[[], Any], times: float = 1.0) -> float:
    began = time.process_time()
    call()
    return times * (time.process_time() - began)


def main() -> None:
    chosen = read_options(__doc__, repeat=3)
    plan = compile_spec(EXAMPLE).plan
    assert plan is not None
    points = [point for point in plan.points if point.grid == "fine"]
    few = points[::EACH]
    share = len(points) / len(few)
    peers = [name for name in ("omegaconf", "hydra") if importlib.util.find_spec(name)]
    for name in {"omegaconf", "hydra"} - set(peers):
        print(f"{name} is not installed and is left out")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for mode in ("tool", "weight"):
            base = settings(plan, next(point for point in points if point.axes["data.mode"] == mode))
            base["name"], base["model"]["mlp"]["hidden"] = NAME, "${times:4,${model.width}}"
            (folder / f"{mode}.yaml").write_text(yaml.safe_dump(base))
        measures = {"lmc": lambda: timed(lambda: by_lmc(folder))}
        if "omegaconf" in peers:
            from omegaconf import OmegaConf

            OmegaConf.register_new_resolver("times", lambda left, right: int(left) * int(right))
            assert by_omegaconf(folder, few) == [settings(plan, point) for point in few]
            measures["OmegaConf"] = lambda: timed(partial(by_omegaconf, folder, few), share)
        if set(peers) >= {"omegaconf", "hydra"}:
            assert by_hydra(folder, few) == [settings(plan, point) for point in few]
            measures["Hydra"] = lambda: timed(partial(by_hydra, folder, few), share)
        times = {name: [measure() for _ in range(chosen.repeat)] for name, measure in measures.items()}
    report(times, chosen)
    ours = statistics.median(times["lmc"])
    for name, values in times.items():
        each = statistics.median(values)
        print(f"{name}: {1000 * each / len(points):.3f} ms a configuration, {each / ours:.1f}x")
    print(f"{len(points):,} configurations; OmegaConf and Hydra made {len(few)} of them")


if __name__ == "__main__":
    main()
