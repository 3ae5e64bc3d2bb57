"""Sites: named places in a model where probes look. A site that nobody observes adds nothing."""

from __future__ import annotations

from torch import Tensor, nn


class Site(nn.Module):
    """The identity. Probes register hooks on it; it has no parameters, no buffers, no state-dict keys."""

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` itself."""
        return x
