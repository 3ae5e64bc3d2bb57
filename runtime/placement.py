"""Where things run: the one module that names a device."""

from __future__ import annotations

import torch
from attrs import frozen

from ..spec.diagnostic import Diagnostic, LmcError


@frozen
class Placement:
    """The product of a mesh: a device and the dtype of parameters and arithmetic."""

    device: torch.device
    dtype: torch.dtype = torch.float32


def default_placement(device: str | None = None) -> Placement:
    """Return float32 on `device`; on cuda if present, else on cpu, when it is None.

    Raises LmcError (LM0903) for a device that this machine has not.
    """
    if device is None:
        return Placement(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise LmcError(Diagnostic("LM0903", f"device `{device}` cannot be used: {reason}", None)) from error
    return Placement(chosen)
