"""Initialisations of a model: each draws a matrix from (seed, its path, its shape), in float32 on CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Literal

from torch import Tensor, nn

from ...spec.init import (
    InitGPT2,
    InitITL,
    InitKaiming,
    InitLlama,
    InitMuP,
    InitOrthogonal,
    InitSmall,
    InitXavier,
)
from ...spec.model import Attention, Transformer
from ..registry import BUILDERS, builds
from .init import draw_normal, fill, generator_for
from .layers import Embedding, Linear

if TYPE_CHECKING:
    from .transformer import TransformerModel

INTO_STREAM = (".mixer.o", ".mlp.down")
"""How paths of projections into the residual stream end."""
TINY = 1e-4
"""Bound of a tiny embedding (RWKV's SmallInitEmb)."""
LINGUA_WIDTH = 4096
"""Width at which the factor `"width"` is 1."""


def draw_weights(model: TransformerModel, seed: int) -> None:
    """Draw the matrices of a model whose modules are reset, as its `init` says; tied weights as the embedding."""
    init = model.spec.init
    BUILDERS[type(init)](init, model, seed)
    if init.zero_residual:
        for path, module in _matrices(model):
            if path.endswith(INTO_STREAM):
                nn.init.zeros_(module.weight)
    if init.tiny_embedding:
        generator = generator_for(seed, "embed")
        fill(model.embed.weight, lambda values: values.uniform_(-TINY, TINY, generator=generator))


def lr_factor(spec: Transformer, path: str) -> float:
    """Return what Adam's learning rate of a parameter is multiplied by: base / width for matrices of blocks under muP.

    It is 1 for embedding, head, gains and biases, and without muP (Yang et al. 2022, table 3, with a multiplier on the
    logits in place of a smaller head). torch's decoupled weight decay is multiplied by the learning rate, so by this.

    Args:
        spec: the model.
        path: name of a parameter, as `blocks.0.mixer.q.weight`.
    """
    hidden = path.startswith("blocks.") and path.endswith(".weight")
    return spec.init.multiplier(spec.width) if hidden and isinstance(spec.init, InitMuP) else 1.0


def logit_multiplier(spec: Transformer) -> float:
    """Return what logits are multiplied by: base / width under muP, else 1."""
    return spec.init.multiplier(spec.width) if isinstance(spec.init, InitMuP) else 1.0


def query_multiplier(spec: Transformer) -> float:
    """Return what queries are multiplied by beside E^-1/2: E^-1/2 under muP, so that scores are q k^T / E; else 1."""
    if isinstance(spec.init, InitMuP) and isinstance(spec.mixer, Attention):
        return float(spec.mixer.head_size(spec.width) ** -0.5)
    return 1.0


def _matrices(model: TransformerModel) -> Iterator[tuple[str, Linear | Embedding]]:
    """Yield linear maps and the embedding by path; a tied head is the embedding."""
    for path, module in model.named_modules():
        if isinstance(module, Linear | Embedding) and not (model.spec.tied and module is model.unembed):
            yield path, module


def _normal(model: TransformerModel, seed: int, std: Callable[[str, Tensor], float]) -> None:
    """Draw every matrix, normal cut at 3 sigma, sigma being `std` of its path and itself."""
    for path, module in _matrices(model):
        draw_normal(module.weight, std(path, module.weight), generator_for(seed, path))


def _fill(model: TransformerModel, seed: int, draw: Callable[..., object], under: str = "") -> None:
    """Draw every matrix below a path with a function of torch.nn.init that takes a generator."""
    for path, module in _matrices(model):
        if path.startswith(under):
            fill(module.weight, partial(draw, generator=generator_for(seed, path)))


@builds(InitITL)
def init_itl(init: InitITL, model: TransformerModel, seed: int) -> None:
    """Leave what the modules draw: sigma = fan_in^-1/2, cut at 3 sigma, no depth factor (ITL)."""


@builds(InitGPT2)
def init_gpt2(init: InitGPT2, model: TransformerModel, seed: int) -> None:
    """Draw with one sigma, projections into the residual stream with sigma / sqrt(2 layers) (GPT-2)."""
    residual = init.std * (2 * model.spec.layers) ** -0.5
    _normal(model, seed, lambda path, weight: residual if path.endswith(INTO_STREAM) else init.std)


@builds(InitLlama)
def init_llama(init: InitLlama, model: TransformerModel, seed: int) -> None:
    """Draw with sigma = fan_in^-1/2, over a factor for projections into the residual stream (Meta Lingua)."""
    spec = model.spec

    def std(path: str, weight: Tensor) -> float:
        sigma = float(weight.shape[1] ** -0.5)
        if not path.endswith(INTO_STREAM):
            return sigma
        number = int(path.split(".")[1]) + 1
        factors = {
            "none": 1.0,
            "depth": (2 * number) ** 0.5,
            "global": (2 * (spec.layers + 1)) ** 0.5,
            "width": spec.width / LINGUA_WIDTH,
        }
        return sigma / float(factors[init.residual])

    _normal(model, seed, std)


@builds(InitSmall)
def init_small(init: InitSmall, model: TransformerModel, seed: int) -> None:
    """Draw with sigma = sqrt(2 / (5 D)), projections into the residual stream with less (Nguyen & Salazar 2019)."""
    layers, width = model.spec.layers, model.spec.width
    sigma = (2 / (5 * width)) ** 0.5
    residual = {"wang": 2 / (layers * width**0.5), "global": sigma * (2 * layers) ** -0.5}[init.residual]
    _normal(model, seed, lambda path, weight: residual if path.endswith(INTO_STREAM) else sigma)


@builds(InitXavier)
def init_xavier(init: InitXavier, model: TransformerModel, seed: int) -> None:
    """Draw as torch.nn.init.xavier_uniform_ or xavier_normal_ (Glorot & Bengio 2010)."""
    draw = nn.init.xavier_uniform_ if init.distribution == "uniform" else nn.init.xavier_normal_
    _fill(model, seed, partial(draw, gain=nn.init.calculate_gain(init.activation)))


@builds(InitKaiming)
def init_kaiming(init: InitKaiming, model: TransformerModel, seed: int) -> None:
    """Draw as torch.nn.init.kaiming_normal_ or kaiming_uniform_ (He et al. 2015)."""
    draw = nn.init.kaiming_uniform_ if init.distribution == "uniform" else nn.init.kaiming_normal_
    mode: Literal["fan_in", "fan_out"] = "fan_in" if init.fan == "in" else "fan_out"
    _fill(model, seed, partial(draw, mode=mode, nonlinearity=init.activation))


@builds(InitOrthogonal)
def init_orthogonal(init: InitOrthogonal, model: TransformerModel, seed: int) -> None:
    """Draw the matrices of blocks as torch.nn.init.orthogonal_ (Saxe et al. 2014); leave the tables of ids."""
    _fill(model, seed, partial(nn.init.orthogonal_, gain=nn.init.calculate_gain(init.activation)), under="blocks.")


@builds(InitMuP)
def init_mup(init: InitMuP, model: TransformerModel, seed: int) -> None:
    """Draw embedding and head with a sigma that does not know the width; hidden matrices keep fan_in^-1/2."""
    for path, table in (("embed", model.embed), ("positions", model.positions)):
        if table is not None:
            draw_normal(table.weight, init.embedding_std(model.spec.tied), generator_for(seed, path))
    if not model.spec.tied:
        draw_normal(model.unembed.weight, init.head_std, generator_for(seed, "unembed"))
