"""Update rules against implementations of their papers written here, and what groups, clipping and skipping do."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from attrs import evolve
from torch import Tensor, nn

from lmc.runtime.models.build import build_model
from lmc.runtime.models.layout import SequenceLayout
from lmc.runtime.models.transformer import TransformerModel
from lmc.runtime.placement import Placement
from lmc.runtime.registry import BUILDERS
from lmc.runtime.training import checkpoint
from lmc.runtime.training.optimizer import gradient_norm, set_learning_rate, update
from lmc.spec.canonical import canonical_json
from lmc.spec.codec import structure_spec, unstructure
from lmc.spec.diagnostic import LmcError
from lmc.spec.identity import identity
from lmc.spec.init import InitMuP
from lmc.spec.model import Attention, SwiGLU, Transformer
from lmc.spec.optim import SGD, AdamW, Group, Muon, MuonAdamW

SPEC = Transformer(vocab=23, layers=2, width=16, mixer=Attention(heads=2, kv_heads=1), mlp=SwiGLU(hidden=24))
HERE = Placement(torch.device("cpu"))
STEPS = 20
RATES = [3e-2 * (1 - step / 40) for step in range(STEPS)]
Weights = dict[str, Tensor]
Rule = Callable[[str, Tensor, Tensor, dict[str, Any], int, float], Tensor]


def small(**changes: Any) -> TransformerModel:
    return build_model(evolve(SPEC, **changes), HERE, 3)


def gradients(model: TransformerModel, step: int) -> None:
    tokens = torch.randint(0, 23, (2, 9), generator=torch.Generator().manual_seed(step))
    logits = model(tokens[:, :-1], SequenceLayout.rows([8, 8]))
    nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()).backward()


def advance(model: TransformerModel, optimizer: torch.optim.Optimizer, lr: float, clip: float | None = None) -> None:
    norm = gradient_norm(model.parameters())
    set_learning_rate(optimizer, lr)
    update(optimizer, norm.isfinite(), norm, clip)
    optimizer.zero_grad(set_to_none=True)


def against(spec: Any, rule: Rule, model: TransformerModel | None = None, *, drift: bool = True) -> float:
    """Return the largest difference of any weight between the steps of lmc and of `rule`, in float64.

    Both have the gradients of lmc's weights; without `drift` lmc's weights begin each step at the rule's.
    """
    model = model or small()
    optimizer = BUILDERS[type(spec)](spec, model)
    mine: Weights = {path: p.detach().double() for path, p in model.named_parameters()}
    state: dict[str, dict[str, Any]] = {path: {} for path in mine}
    worst = 0.0
    for step, lr in enumerate(RATES, 1):
        gradients(model, step)
        found = {path: p.grad.double() for path, p in model.named_parameters() if p.grad is not None}
        norm = math.sqrt(sum(float(g.square().sum()) for g in found.values()))
        scale = 1.0 if spec.clip is None else min(1.0, spec.clip / norm)
        for path, gradient in found.items():
            mine[path] = rule(path, mine[path], gradient * scale, state[path], step, lr)
        advance(model, optimizer, lr, spec.clip)
        worst = max(worst, *(float((p.detach() - mine[path]).abs().max()) for path, p in model.named_parameters()))
        if not drift:
            model.load_state_dict({path: value.float() for path, value in mine.items()}, strict=False)
    return worst


def adamw_rule(spec: Any, decays: Callable[[str, Tensor], float], scale: Callable[[str], float] = lambda p: 1) -> Rule:
    """Algorithm 2 of Loshchilov & Hutter 2019, the decay times the learning rate."""

    def rule(path: str, w: Tensor, g: Tensor, state: dict[str, Any], step: int, lr: float) -> Tensor:
        lr, (b1, b2) = lr * scale(path), spec.betas
        m = state["m"] = b1 * state.get("m", 0) + (1 - b1) * g
        v = state["v"] = b2 * state.get("v", 0) + (1 - b2) * g * g
        return w - lr * (m / (1 - b1**step)) / ((v / (1 - b2**step)).sqrt() + spec.eps) - lr * decays(path, w) * w

    return rule


def sgd_rule(spec: SGD) -> Rule:
    """Sutskever et al. 2013, with the velocity in units of gradients, as most libraries have it."""

    def rule(path: str, w: Tensor, g: Tensor, state: dict[str, Any], step: int, lr: float) -> Tensor:
        g = g + (spec.weight_decay if spec.decay == "all" or w.ndim > 1 else 0) * w
        v = state["v"] = spec.momentum * state.get("v", 0) + g
        return w - lr * (g + spec.momentum * v if spec.nesterov else v)

    return rule


def orthogonalised(g: Tensor, steps: int) -> Tensor:
    """`newton_schulz5` of Jordan et al. 2024, in bfloat16, each product rounded once."""
    x = g.float().bfloat16()
    x = x.T if g.shape[0] > g.shape[1] else x
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        a = x @ x.T
        b = (-4.7750 * a.float() + 2.0315 * (a.float() @ a.float())).bfloat16()
        x = (3.4445 * x.float() + b.float() @ x.float()).bfloat16()
    return (x.T if g.shape[0] > g.shape[1] else x).double()


def muon_rule(spec: Muon, seen: list[float]) -> Rule:
    rate = spec.lr if spec.adamw.lr is None else spec.adamw.lr
    decay = spec.adamw.weight_decay
    rest = adamw_rule(spec.adamw, lambda path, w: decay if w.ndim > 1 else 0, lambda path: rate / spec.lr)

    def rule(path: str, w: Tensor, g: Tensor, state: dict[str, Any], step: int, lr: float) -> Tensor:
        if not path.startswith("blocks.") or w.ndim < 2:
            return rest(path, w, g, state, step, lr)
        m = state["m"] = spec.momentum * state.get("m", 0) + (1 - spec.momentum) * g
        o = orthogonalised((1 - spec.momentum) * g + spec.momentum * m if spec.nesterov else m, spec.ns_steps)
        n, k = w.shape
        size = 0.2 * math.sqrt(max(n, k)) if spec.scale == "match_rms" else math.sqrt(max(1, n / k))
        seen.append(lr * size)
        return w - lr * spec.weight_decay * w - lr * size * o

    return rule


@pytest.mark.parametrize("clip", [None, 0.5, 1e9])
@pytest.mark.parametrize("decay", ["matrices", "all"])
def test_adamw_is_its_paper(clip: float | None, decay: Any) -> None:
    spec = AdamW(weight_decay=0.3, decay=decay, clip=clip, betas=(0.9, 0.98), eps=1e-6)
    assert against(spec, adamw_rule(spec, lambda path, w: 0.3 if decay == "all" or w.ndim > 1 else 0)) < 1e-6


@pytest.mark.parametrize(
    "spec",
    [
        SGD(),
        SGD(momentum=0.0, nesterov=True),
        SGD(momentum=0.8, nesterov=True, weight_decay=0.1),
        SGD(weight_decay=0.1, decay="all", clip=0.3),
    ],
)
def test_sgd_is_its_paper(spec: SGD) -> None:
    rule = sgd_rule(evolve(spec, nesterov=spec.nesterov and spec.momentum > 0))
    assert against(spec, rule) < 1e-6


@pytest.mark.parametrize(
    "spec",
    [
        Muon(lr=1e-2, clip=0.5),
        Muon(lr=1e-2, scale="original", nesterov=False, momentum=0.9, weight_decay=0.0),
        Muon(lr=1e-2, adamw=MuonAdamW(lr=2e-3, weight_decay=0.2), ns_steps=3),
    ],
)
def test_muon_is_its_paper(spec: Muon) -> None:
    """Within what bfloat16 rounds of the orthogonal factor, and exactly where there is none of it."""
    sizes: list[float] = []
    assert against(spec, muon_rule(spec, sizes), drift=False) < 0.03 * max(sizes)
    still = evolve(spec, weight_decay=0.5)
    rest = muon_rule(still, sizes)
    model = small()
    for path, parameter in model.named_parameters():
        parameter.requires_grad_(not (path.startswith("blocks.") and parameter.ndim > 1))
    assert against(still, rest, model) < 1e-6


def test_muon_makes_every_direction_of_a_step_about_equally_long() -> None:
    model = small()
    optimizer = BUILDERS[Muon](Muon(weight_decay=0.0, scale="original"), model)
    before = {path: p.detach().clone() for path, p in model.named_parameters()}
    gradients(model, 1)
    advance(model, optimizer, 1.0)
    for path, parameter in model.named_parameters():
        if path.startswith("blocks.") and parameter.ndim > 1:
            n, k = parameter.shape
            values = torch.linalg.svdvals((before[path] - parameter.detach()) / math.sqrt(max(1, n / k)))
            assert 0.3 < float(values.median()) < 1.3, path
            assert float(values.max()) < 1.3, path


def test_muon_has_the_rate_of_its_own_on_the_same_schedule() -> None:
    optimizer = BUILDERS[Muon](Muon(lr=0.02, adamw=MuonAdamW(lr=1e-3)), small())
    set_learning_rate(optimizer, 0.01)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert len(rates) == len(list(small().parameters()))
    assert sorted({round(rate, 12) for rate in rates.values()}) == [5e-4, 1e-2]


GROUPS = {
    "tables": Group(match="*embed.weight", lr_scale=0.25, weight_decay=0.0),
    "first": Group(match="blocks.0.*", lr_scale=3.0),
    "norms": Group(match="*norm.gain", weight_decay=0.5),
    "values": Group(match="*.mixer.v.*", frozen=True),
}


def test_the_first_group_that_matches_has_a_parameter() -> None:
    model = small()
    spec = AdamW(weight_decay=0.2, groups=GROUPS)
    kept = {path: p.detach().clone() for path, p in model.named_parameters()}

    def decays(path: str, w: Tensor) -> float:
        if path in ("embed.weight", "unembed.weight"):
            return 0.0
        if path.startswith("blocks.0."):
            return 0.2 if w.ndim > 1 else 0.0
        return 0.5 if path.endswith("norm.gain") else 0.2

    def scale(path: str) -> float:
        return 0.25 if "embed" in path else 3.0 if path.startswith("blocks.0.") else 1.0

    assert against(spec, adamw_rule(spec, decays, scale), model) < 1e-6
    same = [path for path, p in model.named_parameters() if torch.equal(p, kept[path])]
    assert same == ["blocks.1.mixer.v.weight"]


def test_tied_weights_follow_either_of_their_paths() -> None:
    model = small(tied=True)
    groups = {"table": Group(match="embed.*", lr_scale=0.5), "head": Group(match="unembed.*", lr_scale=9.0)}
    optimizer = BUILDERS[AdamW](AdamW(groups=groups), model)
    found = [g["lr_scale"] for g in optimizer.param_groups if any(p is model.embed.weight for p in g["params"])]
    assert found == [0.5]
    (group,) = (g for g in BUILDERS[AdamW](AdamW(groups={"h": groups["head"]}), model).param_groups if "lr_scale" in g)
    assert [p is model.embed.weight for p in group["params"]] == [True]


def test_rates_of_mup_are_in_the_groups() -> None:
    model = small(init=InitMuP(base=4))
    for spec in (AdamW(lr=1.0, groups={"q": Group(match="*.q.*", lr_scale=2.0)}), Muon(lr=1.0)):
        optimizer = BUILDERS[type(spec)](spec, model)
        rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
        assert rates[id(model.embed.weight)] == 1.0
        if isinstance(spec, AdamW):
            assert rates[id(model.blocks[0].mixer.q.weight)] == 2 * 4 / 16
            assert rates[id(model.blocks[0].mlp.up.weight)] == 4 / 16


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ({"g": Group(match="block.0.mixer.q.weight")}, "blocks.0.mixer.q.weight"),
        ({"a": Group(match="*"), "b": Group(match="embed.*")}, "groups before it"),
        ({"a": Group(match="*", frozen=True)}, "every parameter is frozen"),
    ],
)
def test_a_group_of_nothing_is_refused(groups: dict[str, Group], words: str) -> None:
    for spec in (AdamW(groups=groups), SGD(groups=groups), Muon(groups=groups)):
        with pytest.raises(LmcError) as caught:
            BUILDERS[type(spec)](spec, small())
        diagnostic = caught.value.diagnostic
        assert diagnostic.code == "LM0411"
        assert words in f"{diagnostic.message} {diagnostic.help}"


@pytest.mark.parametrize("spec", [AdamW(), SGD(), SGD(momentum=0.0), Muon()], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("first", [True, False])
def test_a_step_that_is_not_finite_leaves_everything_as_it_was(spec: Any, first: bool) -> None:
    left, right = small(), small()
    optimizers = [BUILDERS[type(spec)](spec, model) for model in (left, right)]
    for step in range(1, 6):
        for model, optimizer in zip((left, right), optimizers, strict=True):
            if model is left and step == (1 if first else 3):
                gradients(model, 99)
                model.blocks[1].mlp.up.weight.grad[2, 3] = math.nan if first else math.inf
                advance(model, optimizer, 1e-2, 1.0)
            gradients(model, step)
            advance(model, optimizer, 1e-2, 1.0)
    for (path, a), b in zip(left.named_parameters(), right.parameters(), strict=True):
        assert torch.equal(a, b), path


@pytest.mark.parametrize(
    "spec",
    [
        AdamW(groups=GROUPS),
        SGD(groups=GROUPS),
        SGD(momentum=0.0),
        Muon(groups=GROUPS, adamw=MuonAdamW(lr=1e-4)),
    ],
    ids=lambda s: type(s).__name__,
)
def test_a_checkpoint_goes_on_to_the_bit(spec: Any, tmp_path: Any) -> None:
    whole, halves = small(), small()
    for model in (whole, halves):
        optimizer = BUILDERS[type(spec)](spec, model)
        for step in range(1, 7):
            if model is halves and step == 4:
                checkpoint.write(tmp_path, checkpoint.snapshot(3, model, optimizer, {}))
                halves = model = small()
                optimizer = BUILDERS[type(spec)](spec, model)
                checkpoint.load(tmp_path / "step-3", model, optimizer)
            gradients(model, step)
            advance(model, optimizer, 1e-2, 1.0)
    for (path, a), b in zip(whole.named_parameters(), halves.parameters(), strict=True):
        assert torch.equal(a, b), path


def test_order_of_groups_is_in_identity_and_survives_sorted_json() -> None:
    spec = AdamW(groups=GROUPS)
    assert structure_spec(unstructure(spec)) == spec
    names = list(spec.groups)
    data = unstructure(spec)
    data["groups"] = dict(sorted(data["groups"].items()))
    assert list(structure_spec(data).groups) == names
    assert canonical_json(unstructure(structure_spec(data))) == canonical_json(unstructure(spec))
    turned = AdamW(groups={name: evolve(GROUPS[name], rank=0) for name in reversed(names)})
    assert identity(turned) != identity(spec)
    assert identity(AdamW(groups={})) == identity(AdamW())


def test_neutral_rates_leave_groups_as_torch_has_them() -> None:
    for spec in (AdamW(), AdamW(weight_decay=0.0), SGD()):
        for group in BUILDERS[type(spec)](spec, small()).param_groups:
            assert "lr_scale" not in group
    assert [len(g["params"]) for g in BUILDERS[AdamW](AdamW(weight_decay=0.0), small()).param_groups] == [16, 5]
