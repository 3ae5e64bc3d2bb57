"""Sites: named places in a model where probes look. A site that nobody observes adds nothing."""

from __future__ import annotations

from torch import Tensor, nn


class Site(nn.Module):
    """The identity. Probes register hooks on it; it has no parameters, no buffers, no state-dict keys."""

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` itself."""
        return x


def sites_of(model: nn.Module) -> dict[str, nn.Module]:
    """Return the sites of a model by name: `embed`, `blocks.N.mixer.out`, `blocks.N.mlp.out`, `blocks.N.out`, `head`."""
    found: dict[str, nn.Module] = {}
    for name, module in model.named_modules():
        if isinstance(module, Site):
            found[name.removesuffix("_site")] = module
    return found
