"""Update rules of torch over the parameter groups of a spec, clipped and guarded on the device.

torch.optim.Muon (torch 2.9 and later) has every option of the spec, so no rule is written here.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any

import torch
from attrs import frozen
from torch import Tensor, nn

from ...spec.diagnostic import Diagnostic, LmcError
from ...spec.model import Transformer
from ...spec.optim import SGD, AdamW, Group, Muon, MuonAdamW, Rule
from ..models.inits import lr_factor
from ..registry import builds

_SCALES = {"match_rms": "match_rms_adamw", "original": "original"}
_PLAIN = Group(match="*")


@frozen(eq=False)
class Member:
    """A parameter that is trained: its path, the group that has it, and what its learning rate is multiplied by."""

    path: str
    parameter: nn.Parameter
    group: Group = _PLAIN
    factor: float = 1.0


@builds(AdamW)
def adamw(spec: AdamW, model: nn.Module) -> torch.optim.Optimizer:
    """Return AdamW (Loshchilov & Hutter 2019), fused. Raises LmcError (LM0411) for a group of nothing."""
    return _ready(_adamw(spec, members(spec, model, _adam_factor(model)), spec.lr), spec.lr)


@builds(SGD)
def sgd(spec: SGD, model: nn.Module) -> torch.optim.Optimizer:
    """Return SGD with momentum, fused. Raises LmcError (LM0411) for a group of nothing."""
    groups = _grouped(spec, members(spec, model))
    nesterov = spec.nesterov and spec.momentum > 0
    optimizer = torch.optim.SGD(groups, lr=spec.lr, momentum=spec.momentum, nesterov=nesterov, fused=True)
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            # Checkpoints want a state for each parameter, and a skipped first step would leave one that is not set.
            named = {"momentum_buffer": torch.zeros_like(parameter)} if spec.momentum else {"step": torch.zeros(())}
            optimizer.state[parameter] = named
    return _ready(optimizer, spec.lr)


@builds(Muon)
def muon(spec: Muon, model: nn.Module) -> torch.optim.Optimizer:
    """Return Muon (Jordan et al. 2024) for the linear maps of `blocks`, AdamW for the rest.

    Raises LmcError (LM0411) for a group of nothing.
    """
    hidden = {
        f"{path}.weight"
        for path, module in model.named_modules()
        if isinstance(module, nn.Linear) and path.startswith("blocks.")
    }
    matrices = [member for member in members(spec, model) if member.path in hidden]
    others = [member for member in members(spec, model, _adam_factor(model)) if member.path not in hidden]
    parts: list[torch.optim.Optimizer] = []
    if matrices:
        parts.append(
            torch.optim.Muon(
                _grouped(spec, matrices),
                lr=spec.lr,
                momentum=spec.momentum,
                nesterov=spec.nesterov,
                ns_steps=spec.ns_steps,
                adjust_lr_fn=_SCALES[spec.scale],
            )
        )
    if others:
        rate = spec.lr if spec.adamw.lr is None else spec.adamw.lr
        parts.append(_adamw(spec.adamw, others, spec.lr, rate / spec.lr))
    return _ready(Joined(*parts), spec.lr)


class Joined(torch.optim.Optimizer):
    """Several optimisers as one: one list of groups and one state, for loops and checkpoints.

    It asks the device whether `found_inf` is set, since Muon cannot leave a step out by itself.
    """

    _step_supports_amp_scaling = True

    def __init__(self, *parts: torch.optim.Optimizer) -> None:
        self.parts = parts
        self.sizes = [len(part.param_groups) for part in parts]
        super().__init__([group for part in parts for group in part.param_groups], {})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Let each part update its groups; `grad_scale` divides gradients, and `found_inf` leaves the step out."""
        found, scale = getattr(self, "found_inf", None), getattr(self, "grad_scale", None)
        if found is not None and found:
            return
        groups = iter(self.param_groups)
        for part, size in zip(self.parts, self.sizes, strict=True):
            part.param_groups = [next(groups) for _ in range(size)]
            part.state = self.state
            if isinstance(part, torch.optim.Muon):
                if scale is not None:
                    torch._foreach_mul_(_gradients(p for g in part.param_groups for p in g["params"]), 1 / scale)
            else:
                part.grad_scale = scale  # type: ignore[attr-defined]
            part.step()


def members(spec: Rule, model: nn.Module, factor: Callable[[str], float] = lambda path: 1.0) -> list[Member]:
    """Return the parameters that are trained, tied ones once; what a group freezes needs no gradient afterwards.

    Args:
        spec: its groups are matched with paths as `model.state_dict()` names them, the first that matches has it.
        model: its parameters.
        factor: what the learning rate of a path is multiplied by beside its group's.

    Raises:
        LmcError: LM0411 for a group that no path is left for, or if nothing is trained.
    """
    paths: dict[nn.Parameter, list[str]] = {}
    for path, parameter in model.named_parameters(remove_duplicate=False):
        paths.setdefault(parameter, []).append(path)
    _check(spec, [path for named in paths.values() for path in named])
    found = []
    for parameter, named in paths.items():
        matching = (g for g in spec.groups.values() if any(fnmatchcase(path, g.match) for path in named))
        group = next(matching, _PLAIN)
        if group.frozen:
            parameter.requires_grad_(False)
        if parameter.requires_grad:
            found.append(Member(named[0], parameter, group, factor(named[0])))
    if not found:
        raise LmcError(Diagnostic("LM0411", "every parameter is frozen", None, help="leave some to train"))
    return found


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every group: `lr` times the group's own factor."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)


def gradient_norm(parameters: Iterable[nn.Parameter]) -> Tensor:
    """Return the norm of all gradients, a scalar on their device."""
    return torch.nn.utils.get_total_norm(_gradients(parameters))


def update(optimizer: torch.optim.Optimizer, finite: Tensor, norm: Tensor, clip: float | None) -> None:
    """Do a step with gradients scaled so that their norm is at most `clip`, or none at all unless `finite`.

    Fused rules decide and scale on the device, in the pass that updates; a step that is left out changes no weight,
    no moment and no step count.

    Args:
        optimizer: of this module. Its gradients mean nothing afterwards.
        finite: scalar of bool on the parameters' device.
        norm: scalar, the norm of the gradients (`gradient_norm`).
        clip: the largest norm that passes as it is; None: any.
    """
    guarded: Any = optimizer
    guarded.found_inf = finite.logical_not().float()
    guarded.grad_scale = None if clip is None else ((norm.float() + 1e-6) / clip).clamp(min=1.0)
    try:
        optimizer.step()
    finally:
        del guarded.found_inf, guarded.grad_scale


def _ready(optimizer: torch.optim.Optimizer, lr: float) -> torch.optim.Optimizer:
    set_learning_rate(optimizer, lr)
    return optimizer


def _adamw(spec: AdamW | MuonAdamW, trained: list[Member], lr: float, scale: float = 1.0) -> torch.optim.Optimizer:
    beta1, beta2 = spec.betas
    groups = _grouped(spec, trained, scale)
    return torch.optim.AdamW(groups, lr=lr, betas=(beta1, beta2), eps=spec.eps, fused=True)


def _adam_factor(model: nn.Module) -> Callable[[str], float]:
    """Return what the model's parametrisation asks of Adam's learning rates by path."""
    spec = getattr(model, "spec", None)
    return lambda path: lr_factor(spec, path) if isinstance(spec, Transformer) else 1.0


def _grouped(spec: AdamW | SGD | Muon | MuonAdamW, trained: list[Member], scale: float = 1.0) -> list[dict[str, Any]]:
    """Return torch's groups, those that decay by the rule first; `lr_scale` is a key only where it is not 1."""
    found: dict[tuple[bool, float, float], dict[str, Any]] = {}
    for member in trained:
        still = getattr(spec, "decay", "all") == "matrices" and member.parameter.ndim < 2
        decay = 0.0 if still else spec.weight_decay
        decay = decay if member.group.weight_decay is None else member.group.weight_decay
        rate = scale * member.factor * member.group.lr_scale
        group = found.setdefault((still, rate, decay), {"params": [], "weight_decay": decay})
        if rate != 1.0:
            group["lr_scale"] = rate
        group["params"].append(member.parameter)
    return [found[key] for key in sorted(found, key=lambda key: key[0])]


def _gradients(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    return [p.grad for p in parameters if p.grad is not None]


def _check(spec: Rule, paths: list[str]) -> None:
    """Raise LmcError (LM0411) for the first group that no path is left for."""
    left = list(paths)
    for name, group in spec.groups.items():
        matched = [path for path in left if fnmatchcase(path, group.match)]
        if not matched:
            taken = any(fnmatchcase(path, group.match) for path in paths)
            why = "groups before it have all that it matches" if taken else f"no parameter matches `{group.match}`"
            near = ", ".join(_nearest(group.match, paths))
            help = "put it before them" if taken else f"write a glob that paths match, such as those of {near}"
            raise LmcError(Diagnostic("LM0411", f"`group {name}` is of nothing: {why}", None, help=help))
        left = [path for path in left if path not in matched]


def _nearest(pattern: str, paths: list[str]) -> Iterator[str]:
    yield from difflib.get_close_matches(pattern, paths, 3, 0.0)
