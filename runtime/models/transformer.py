"""The decoder: embedding, pre-norm blocks of mixer and mlp, final norm, head."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...spec.model import Attention as AttentionSpec
from ...spec.model import Learned as LearnedSpec
from ...spec.model import Rope as RopeSpec
from ...spec.model import Transformer as TransformerSpec
from ..registry import BUILDERS
from . import recurrence as _recurrence  # noqa: F401  (registers its builder)
from .attention import Attention, Rope
from .cache import ModelCache
from .context import Context
from .init import generator_for
from .inits import draw_weights, logit_multiplier, query_multiplier
from .layers import Embedding, Linear, RMSNorm, table_of
from .layout import SequenceLayout
from .reach import Reach
from .sites import Site


class Block(nn.Module):
    """x + mixer(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, spec: TransformerSpec) -> None:
        super().__init__()
        self.mixer_norm = RMSNorm(spec.norm, spec.width)
        self.mixer = BUILDERS[type(spec.mixer)](spec.mixer, spec.width)
        if isinstance(self.mixer, Attention):
            self.mixer.query_multiplier = query_multiplier(spec)
        self.mixer.out_site = Site()
        self.mlp_norm = RMSNorm(spec.norm, spec.width)
        self.mlp = BUILDERS[type(spec.mlp)](spec.mlp, spec.width)
        self.mlp.out_site = Site()
        self.out_site = Site()

    def forward(self, x: Tensor, context: Context, cache: Any = None) -> Tensor:
        """Map the residual stream float[B, T, D] to the next block's."""
        x = x + self.mixer.out_site(self.mixer(self.mixer_norm(x), context, cache))
        x = x + self.mlp.out_site(self.mlp(self.mlp_norm(x)))
        return self.out_site(x)  # type: ignore[no-any-return]


class TransformerModel(nn.Module):
    """A decoder-only language model over int64 token ids."""

    def __init__(self, spec: TransformerSpec) -> None:
        super().__init__()
        self.spec = spec
        self.embed = Embedding(spec.num_ids(), spec.width)
        self.embed_site = Site()
        self.rope: Rope | None = None
        if isinstance(spec.positions, RopeSpec) and isinstance(spec.mixer, AttentionSpec):
            self.rope = Rope(spec.positions, spec.mixer.head_size(spec.width))
        self.positions: Embedding | None = None
        if isinstance(spec.positions, LearnedSpec):
            self.positions = table_of(spec.positions, spec.width)
        self.reach = Reach(spec)
        self.blocks = nn.ModuleList(Block(spec) for _ in range(spec.layers))
        self.norm = RMSNorm(spec.norm, spec.width)
        self.unembed = Linear(spec.width, spec.num_ids())
        if spec.tied:
            self.unembed.weight = self.embed.weight
        self.logit_multiplier = logit_multiplier(spec)
        self.head_site = Site()

    def hidden(
        self, tokens: Tensor, layout: SequenceLayout, cache: ModelCache | None = None, live: int | None = None
    ) -> Tensor:
        """Return the normalised residual stream float[B, T, D] of int64[B, T] tokens.

        With a cache, the used slots of each row continue that row and are appended to it; `layout.positions`
        must count on from the cache's lengths (`SequenceLayout.chunk`, `SequenceLayout.packed_chunk`). `live` is at
        least the length of the longest row once they are there; the device is asked where nothing tells.
        Raises ValueError beyond the cache's capacity and beyond the positions that the model has learned.
        """
        if cache is not None:
            known = live if layout.spread is None else layout.spread.live
            if (int((cache.lengths + layout.lengths).max()) if known is None else known) > cache.capacity:
                raise ValueError(f"the cache holds {cache.capacity} positions per row; more were given")
        x = self.embed(tokens)
        if self.positions is not None:
            x = x + self.learned(layout.positions, layout.documents >= 0)
        x = self.embed_site(x)
        context = Context(layout, self.rope, self.reach, x.dtype, cache, live)
        for number, block in enumerate(self.blocks):
            x = block(x, context, None if cache is None else cache.layers[number])
        if cache is not None:
            cache.advance(layout.lengths)
        return self.norm(x)  # type: ignore[no-any-return]

    def learned(self, positions: Tensor, used: Tensor) -> Tensor:
        """Return the table's rows float[..., D] of int64 positions; those of slots not `used` mean nothing.

        One position beyond the table is taken for its last: examples end in a token that is only a target. Raises
        ValueError further beyond, on CPU alone, since a device would have to be asked; there it is the last row, too.
        """
        assert self.positions is not None
        length = self.positions.num_embeddings
        if positions.device.type == "cpu" and bool((used & (positions > length)).any()):
            raise ValueError(f"the model has learned {length} positions; a text is longer")
        return self.positions(positions.clamp(max=length - 1))  # type: ignore[no-any-return]

    def head(self, hidden: Tensor) -> Tensor:
        """Return logits float[..., V] of normalised hidden states float[..., D]."""
        if self.logit_multiplier != 1:
            hidden = hidden * self.logit_multiplier
        return self.head_site(self.unembed(hidden))  # type: ignore[no-any-return]

    def forward(self, tokens: Tensor, layout: SequenceLayout, cache: ModelCache | None = None) -> Tensor:
        """Return logits float[B, T, V] of int64[B, T] tokens."""
        return self.head(self.hidden(tokens, layout, cache))

    def step(self, tokens: Tensor, cache: ModelCache, active: Tensor, live: int | None = None) -> Tensor:
        """Append one token int64[B] to each row that is `active` bool[B]; return logits float[B, V] of what follows.

        Logits of inactive rows mean nothing; their cache rows stay unchanged. `live` is at least the length of the
        longest active row once its token is there; the device is asked where it is None.
        """
        layout = SequenceLayout.chunk(active.long(), cache.lengths, 1)
        return self.head(self.hidden(tokens[:, None], layout, cache, live)[:, 0])

    def new_cache(self, rows: int, capacity: int) -> ModelCache:
        """Return an empty cache for `rows` rows of up to `capacity` positions."""
        return self._empty_cache(rows, capacity, self.embed.weight.device)

    def cache_bytes(self, rows: int, capacity: int) -> int:
        """Return the bytes that `new_cache` would take, without taking them."""
        return self._empty_cache(rows, capacity, torch.device("meta")).num_bytes

    def _empty_cache(self, rows: int, capacity: int, device: torch.device) -> ModelCache:
        layers = [block.mixer.new_cache(rows, capacity, device) for block in self.blocks]  # type: ignore[union-attr,operator]
        return ModelCache(layers, rows, capacity, device)

    def sites(self) -> dict[str, nn.Module]:
        """Return the places that probes can observe, by name."""
        named = {"embed": self.embed_site, "head": self.head_site}
        for number, block in enumerate(self.blocks):
            named[f"blocks.{number}.mixer.out"] = block.mixer.out_site  # type: ignore[union-attr,assignment]
            named[f"blocks.{number}.mlp.out"] = block.mlp.out_site  # type: ignore[union-attr,assignment]
            named[f"blocks.{number}.out"] = block.out_site  # type: ignore[assignment]
        return named  # type: ignore[return-value]

    def init_weights(self, seed: int) -> None:
        """Draw every parameter from (seed, its path) and recompute buffers; tied weights once, as the embedding."""
        for path, module in self.named_modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset) and not (self.spec.tied and module is self.unembed):
                reset(generator=generator_for(seed, path))
        draw_weights(self, seed)
