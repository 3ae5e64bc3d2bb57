"""Mixers that this version types and checks but does not run: parameter counts are arithmetic here."""

from __future__ import annotations

import math
from typing import Literal

from attrs import frozen
from attrs.validators import ge

from .schema import option, variant


@variant("mixer", "hyena", runs=False)
@frozen(kw_only=True, repr=False)
class Hyena:
    """Long convolutions, their filters computed by a small network, between gates (Poli et al. 2023, section 3)."""

    l_max: int = option("Positions that a filter reaches; no text is longer.", unit="positions", validator=ge(1))
    order: int = option("Number of projections beside the values; gates are one fewer.", default=2, validator=ge(2))
    filter_width: int = option("Width of the network that gives the filters.", default=64, validator=ge(1))
    short: int = option("Positions of the short convolution behind the projections.", default=3, validator=ge(1))

    def num_params(self, width: int) -> int:
        """Parameters of projections, short convolution, filter network of three layers over 3 features, and output."""
        inner, filters = (self.order + 1) * width, (self.order - 1) * width
        projections = width * inner + inner + inner * self.short + inner
        network = 3 * self.filter_width + 2 * self.filter_width**2 + 3 * self.filter_width
        return projections + network + self.filter_width * filters + filters + width * width + width


@variant("mixer", "based", runs=False)
@frozen(kw_only=True, repr=False)
class Based:
    """Linear attention over a feature map of few dimensions (Arora et al. 2024, section 4)."""

    features: int = option("Channels of queries and keys of a head before the map.", default=16, validator=ge(1))
    map: Literal["taylor", "elu"] = option(
        "Features of a projection x: 1, x and its products (second-order Taylor of exp), or elu(x) + 1.",
        default="taylor",
    )
    heads: int = option("Number of heads; divides the width.", default=1, validator=ge(1))

    def num_params(self, width: int) -> int:
        """Parameters of query, key, value and output projections, without biases."""
        return 2 * width * self.features * self.heads + 2 * width * width


@variant("mixer", "mamba", runs=False)
@frozen(kw_only=True, repr=False)
class Mamba:
    """A selective state-space layer (Gu & Dao 2023, section 3)."""

    state: int = option("Size of the state of a channel.", default=16, validator=ge(1))
    expand: int = option("Channels of the layer are this times the width.", default=2, validator=ge(1))
    conv: int = option("Positions of the short convolution.", default=4, validator=ge(1))

    def num_params(self, width: int) -> int:
        """Parameters of both projections, convolution, selection (rank width / 16, rounded up), state and skip."""
        inner, rank = self.expand * width, math.ceil(width / 16)
        selection = inner * (rank + 2 * self.state) + rank * inner + inner
        return 2 * width * inner + inner * self.conv + inner + selection + inner * self.state + inner + inner * width
