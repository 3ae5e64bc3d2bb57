"""One token per row: the transformer's step with its weights laid side by side and nothing computed twice.

At small widths a step costs what its operations cost to start, so projections of one input are one product, rotations
come from a table, and residuals are added inside products. Larger models, other layers and watched ones take their
ordinary forward pass.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from attrs import frozen
from torch import Tensor

from .attention import Attention
from .cache import KVCache, ModelCache
from .layers import RMSNorm, SwiGLU
from .transformer import TransformerModel

MOST_BYTES = 64 * 2**20
"""Weights that are copied to lie side by side; beyond, a step is bound by reading them and not by starting products."""


@frozen(eq=False)
class BlockWeights:
    """The weights of one block, transposed: x @ `qkv` gives queries, keys and values; x @ `gated` gate and up."""

    mixer_gain: Tensor
    qkv: Tensor
    out: Tensor
    mlp_gain: Tensor
    gated: Tensor
    down: Tensor


class Decoder:
    """Steps of a model over one cache; the model must not change meanwhile."""

    def __init__(self, model: TransformerModel, cache: ModelCache) -> None:
        self.model, self.cache = model, cache
        self.blocks = [_block(model, number) for number in range(len(model.blocks))] if _is_plain(model) else []
        if not self.blocks:
            return
        attention = model.blocks[0].mixer
        assert isinstance(attention, Attention)
        self.heads, self.kv_heads, self.size = attention.heads, attention.kv_heads, attention.size
        weight, device = model.embed.weight, model.embed.weight.device
        self.starts = torch.arange(cache.rows, device=device) * (cache.capacity + 1)
        self.columns = torch.arange(cache.capacity + 1, device=device)
        self.tables: tuple[Tensor, Tensor] | None = None
        if model.rope is not None:
            cos, sin = model.rope.tables(self.columns[None], weight.dtype)
            self.tables = cos[0, 0], sin[0, 0]

    def step(self, tokens: Tensor, active: Tensor, live: int, even: bool) -> Tensor:
        """Append one token int64[B] to each row that is `active` bool[B]; return logits float[B, V] of what follows.

        Logits of inactive rows mean nothing; their cache rows stay unchanged.

        Args:
            tokens: int64[B].
            active: bool[B].
            live: length of the longest active row once the token is there.
            even: whether every active row has that length.
        """
        if not self.blocks:
            return self.model.step(tokens, self.cache, active)
        past = self.cache.lengths
        slots = self.starts + torch.where(active, past, self.cache.capacity)
        mask = None
        if not even:
            hidden = self.columns[:live] > past[:, None]
            mask = torch.zeros(hidden.shape, dtype=self.model.embed.weight.dtype, device=hidden.device)
            mask = mask.masked_fill_(hidden, -torch.inf)[:, None, None]
        rotation = None
        if self.tables is not None:
            cos, sin = self.tables
            rotation = cos.index_select(0, past)[:, None], sin.index_select(0, past)[:, None]
        x = self.model.embed.weight.index_select(0, tokens)
        for weights, layer in zip(self.blocks, self.cache.layers, strict=True):
            assert isinstance(layer, KVCache)
            x = self._mix(x, weights, layer, slots, rotation, mask, live)
            x = self._gate(x, weights)
        self.cache.advance(active)
        return self.model.head(F.rms_norm(x, x.shape[-1:], self.model.norm.gain, self.model.norm.eps))

    def _mix(
        self,
        x: Tensor,
        weights: BlockWeights,
        layer: KVCache,
        slots: Tensor,
        rotation: tuple[Tensor, Tensor] | None,
        mask: Tensor | None,
        live: int,
    ) -> Tensor:
        eps = self.model.spec.norm.eps
        mixed = torch.mm(F.rms_norm(x, x.shape[-1:], weights.mixer_gain, eps), weights.qkv)
        heads = mixed.view(len(x), -1, self.size)
        turned = heads[:, : self.heads + self.kv_heads]
        if rotation is not None:
            cos, sin = rotation
            turned = torch.addcmul(turned * cos, turned.roll(self.size // 2, -1), sin)
        layer.keys.flatten(0, 1).index_copy_(0, slots, turned[:, self.heads :])
        layer.values.flatten(0, 1).index_copy_(0, slots, heads[:, self.heads + self.kv_heads :])
        keys, values = layer.read(live)
        queries = turned[:, : self.heads, None]
        grouped = self.heads != self.kv_heads
        read = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, enable_gqa=grouped)
        return torch.addmm(x, read.reshape(len(x), -1), weights.out)

    def _gate(self, x: Tensor, weights: BlockWeights) -> Tensor:
        eps = self.model.spec.norm.eps
        gate, up = torch.mm(F.rms_norm(x, x.shape[-1:], weights.mlp_gain, eps), weights.gated).chunk(2, dim=-1)
        return torch.addmm(x, F.silu(gate) * up, weights.down)


def _is_plain(model: TransformerModel) -> bool:
    """Whether the model is made of the layers that are written out here, small enough to copy, and nobody watches."""
    weights = sum(p.numel() * p.element_size() for block in model.blocks for p in block.parameters())
    known = all(
        isinstance(b.mixer, Attention) and isinstance(b.mlp, SwiGLU) and isinstance(b.mixer_norm, RMSNorm)
        for b in model.blocks
    )
    plain = all(name.endswith(("weight", "gain")) for block in model.blocks for name, _ in block.named_parameters())
    watched = any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    return known and plain and not watched and weights <= MOST_BYTES


def _block(model: TransformerModel, number: int) -> BlockWeights:
    block = model.blocks[number]
    mixer, mlp = block.mixer, block.mlp
    assert isinstance(mixer, Attention)
    assert isinstance(mlp, SwiGLU)
    return BlockWeights(
        mixer_gain=block.mixer_norm.gain,  # type: ignore[union-attr,arg-type]
        qkv=torch.cat([mixer.q.weight, mixer.k.weight, mixer.v.weight]).t().contiguous(),
        out=mixer.o.weight.t().contiguous(),
        mlp_gain=block.mlp_norm.gain,  # type: ignore[union-attr,arg-type]
        gated=torch.cat([mlp.gate.weight, mlp.up.weight]).t().contiguous(),
        down=mlp.down.weight.t().contiguous(),
    )
