"""One token per row: the transformer's step with its weights laid side by side and nothing computed twice.

At small widths a step costs what its operations cost to start, so projections of one input are one product, gains of
norms are part of the weights behind them, rotations come from a table, and residuals are added inside products; at
larger ones, weights laid out the way a product of few rows reads them save up to half of its time. Larger models yet,
other layers and watched ones take their ordinary pass.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from attrs import frozen
from torch import Tensor

from .attention import Attention
from .cache import KVCache, ModelCache
from .layers import Linear, RMSNorm, SwiGLU
from .lowered import Additive, Shape
from .transformer import TransformerModel

MOST_BYTES = 2 * 2**30
"""Weights that are copied to lie side by side."""


@frozen(eq=False)
class Product:
    """x @ `weight` float[I, O], plus `bias` float[O] if there is one."""

    weight: Tensor
    bias: Tensor | None

    @staticmethod
    def of(*layers: Linear, gain: Tensor | None = None, first: float = 1.0) -> Product:
        """Return the product that gives the outputs of linear layers side by side, of inputs times `gain` float[I].

        The outputs of the first layer are multiplied by `first`.
        """
        biases = [layer.weight.new_zeros(len(layer.weight)) if layer.bias is None else layer.bias for layer in layers]
        biased = any(layer.bias is not None for layer in layers)
        weight = torch.cat(tuple(layer.weight for layer in layers))
        weight = weight if gain is None else weight * gain
        bias = torch.cat(tuple(biases)) if biased else None
        if first != 1:
            weight[: len(biases[0])] *= first
            if bias is not None:
                bias[: len(biases[0])] *= first
        return Product(weight.t().contiguous(), bias)

    def __call__(self, x: Tensor) -> Tensor:
        """Return float[B, O] of float[B, I]."""
        return torch.mm(x, self.weight) if self.bias is None else torch.addmm(self.bias, x, self.weight)

    def onto(self, stream: Tensor, x: Tensor) -> Tensor:
        """Return float[B, O]: the product of float[B, I] added to `stream`."""
        added = torch.addmm(stream, x, self.weight)
        return added if self.bias is None else added + self.bias


@frozen(eq=False)
class BlockWeights:
    """The weights of one block: `qkv` gives queries, keys and values, `gated` gate and up."""

    qkv: Product
    out: Product
    gated: Product
    down: Product


@frozen(eq=False)
class StepWeights:
    """The weights of a model that must not change while they are used; no blocks where its ordinary pass is taken."""

    model: TransformerModel
    blocks: tuple[BlockWeights, ...]

    @staticmethod
    @torch.no_grad()
    def of(model: TransformerModel) -> StepWeights:
        """Lay the weights of a model side by side."""
        plain = _is_plain(model)
        return StepWeights(model, tuple(_block(model, n) for n in range(len(model.blocks))) if plain else ())


class Where(NamedTuple):
    """Where the new position of each row lies, the same for all layers.

    Attributes:
        live: positions that attention reads.
        slots: int64[n] into rows and positions; None for rows of one length, all active.
        mask: additive float[n or 1, 1 or H, 1, live]; None where such rows see all that they hold.
        turns: cosine and signed sine of the positions, float[n, 1, E] or float[E]; None without rotary positions.
    """

    live: int
    slots: Tensor | None
    mask: Tensor | None
    turns: tuple[Tensor, Tensor] | None


class Decoder:
    """Steps of a model over one cache."""

    def __init__(self, weights: StepWeights, cache: ModelCache) -> None:
        self.model, self.blocks, self.cache = weights.model, weights.blocks, cache
        if not self.blocks:
            return
        model = self.model
        attention = model.blocks[0].mixer
        assert isinstance(attention, Attention)
        self.heads, self.kv_heads, self.size = attention.heads, attention.kv_heads, attention.size
        weight, device = model.embed.weight, model.embed.weight.device
        self.eps = torch.full((1, 1), model.spec.norm.eps, dtype=weight.dtype, device=device)
        self.starts = torch.arange(cache.rows, device=device) * (cache.capacity + 1)
        self.columns = torch.arange(cache.capacity + 1, device=device)
        self.tables: tuple[Tensor, Tensor] | None = None
        if model.rope is not None:
            cos, sin = model.rope.tables(self.columns[None], weight.dtype)
            self.tables = cos[0, 0], sin[0, 0]

    def step(self, tokens: Tensor, active: Tensor, live: int, even: bool) -> Tensor:
        """Append one token int64[n] to each of the first n rows that is `active` bool[n]; return what follows.

        Logits float[n, V] of inactive rows mean nothing; their cache rows stay unchanged.

        Args:
            tokens: int64[n], n <= B.
            active: bool[n].
            live: at least the length of the longest active row once the token is there.
            even: whether every row is active and has exactly that length.
        """
        if not self.blocks:
            return self._ordinary(tokens, active, live)
        past = self.cache.lengths[: len(tokens)]
        x = self.model.embed.weight.index_select(0, tokens)
        if self.model.positions is not None:
            x = x + self.model.learned(past, active)
        where = self._even(live) if even else self._ragged(past, active, live)
        for weights, layer in zip(self.blocks, self.cache.layers, strict=True):
            assert isinstance(layer, KVCache)
            x = self._mix(x, weights, layer, where)
            x = self._gate(x, weights)
        past += active
        return self.model.head(self._normed(x) * self.model.norm.gain)

    def _even(self, live: int) -> Where:
        """Return where the new position of rows of one length lies."""
        turns = None if self.tables is None else (self.tables[0][live - 1], self.tables[1][live - 1])
        return Where(live, None, self._mask(self.columns[live - 1 : live], live), turns)

    def _ragged(self, past: Tensor, active: Tensor, live: int) -> Where:
        slots = self.starts[: len(past)] + torch.where(active, past, self.cache.capacity)
        mask = self._mask(past, live)
        if mask is None:
            hidden = self.columns[:live] > past[:, None]
            mask = torch.zeros(hidden.shape, dtype=self.model.embed.weight.dtype, device=hidden.device)
            mask = mask.masked_fill_(hidden, -torch.inf)[:, None, None]
        turns = None
        if self.tables is not None:
            cos, sin = self.tables
            turns = cos.index_select(0, past)[:, None], sin.index_select(0, past)[:, None]
        return Where(live, slots, mask, turns)

    def _mask(self, past: Tensor, live: int) -> Tensor | None:
        """Return the mask of a window or of ALiBi for queries at positions `past` int64[n or 1]; None without."""
        reach, weight = self.model.reach, self.model.embed.weight
        if reach.plain:
            return None
        shape = Shape(len(past), 1, live, weight.dtype, weight.device, past, slopes=reach.slopes)
        return Additive.of(reach.rows, shape).bias

    def _normed(self, x: Tensor) -> Tensor:
        """Return float[n, D] divided by its root mean square."""
        size = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        return x * torch.addcmul(self.eps, size, size, value=1 / x.shape[-1]).rsqrt_()

    def _ordinary(self, tokens: Tensor, active: Tensor, live: int) -> Tensor:
        rest = self.cache.rows - len(tokens)
        if rest:
            tokens, active = F.pad(tokens, (0, rest)), F.pad(active, (0, rest))
        return self.model.step(tokens, self.cache, active, live)[: len(tokens) - rest]

    def _mix(self, x: Tensor, weights: BlockWeights, layer: KVCache, where: Where) -> Tensor:
        heads = weights.qkv(self._normed(x)).view(len(x), -1, self.size)
        turned = heads[:, : self.heads + self.kv_heads]
        if where.turns is not None:
            cos, sin = where.turns
            turned = torch.addcmul(turned * cos, turned.roll(self.size // 2, -1), sin)
        layer.put(turned[:, self.heads :], heads[:, self.heads + self.kv_heads :], where.live - 1, where.slots)
        keys, values = layer.read(where.live, len(x))
        queries = turned[:, : self.heads, None]
        grouped = self.heads != self.kv_heads
        read = F.scaled_dot_product_attention(queries, keys, values, attn_mask=where.mask, enable_gqa=grouped)
        return weights.out.onto(x, read.reshape(len(x), -1))

    def _gate(self, x: Tensor, weights: BlockWeights) -> Tensor:
        gate, up = weights.gated(self._normed(x)).chunk(2, dim=-1)
        return weights.down.onto(x, F.silu(gate) * up)


def _is_plain(model: TransformerModel) -> bool:
    """Whether the model is made of the layers that are written out here, small enough to copy, and nobody watches."""
    weights = sum(p.numel() * p.element_size() for block in model.blocks for p in block.parameters())
    known = all(
        isinstance(b.mixer, Attention) and isinstance(b.mlp, SwiGLU) and isinstance(b.mixer_norm, RMSNorm)
        for b in model.blocks
    )
    watched = any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    return known and not watched and weights <= MOST_BYTES


def _block(model: TransformerModel, number: int) -> BlockWeights:
    block = model.blocks[number]
    mixer, mlp = block.mixer, block.mlp
    assert isinstance(mixer, Attention)
    assert isinstance(mlp, SwiGLU)
    gain: Tensor = block.mixer_norm.gain  # type: ignore[union-attr,assignment]
    return BlockWeights(
        qkv=Product.of(mixer.q, mixer.k, mixer.v, gain=gain, first=mixer.query_multiplier),
        out=Product.of(mixer.o),
        gated=Product.of(mlp.gate, mlp.up, gain=block.mlp_norm.gain),  # type: ignore[union-attr,arg-type]
        down=Product.of(mlp.down),
    )
