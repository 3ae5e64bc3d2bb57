"""Sites: named places in a model where probes look. A site that nobody observes adds nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn


class Site(nn.Module):
    """The identity. Probes register hooks on it; it has no parameters, no buffers, no state-dict keys."""

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` itself."""
        return x


def observed(module: nn.Module) -> bool:
    """Whether a site in `module` has a hook."""
    return any(site._forward_hooks for site in _sites(module))


@contextmanager
def unobserved(module: nn.Module) -> Iterator[None]:
    """Hide the sites in `module` from their observers."""
    sites = _sites(module)
    hooks = [dict(site._forward_hooks) for site in sites]
    for site in sites:
        site._forward_hooks.clear()
    try:
        yield
    finally:
        for site, kept in zip(sites, hooks, strict=True):
            site._forward_hooks.update(kept)


def _sites(module: nn.Module) -> list[Site]:
    return [inner for inner in module.modules() if isinstance(inner, Site)]
