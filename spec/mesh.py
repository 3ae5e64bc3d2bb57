"""Device meshes."""

from __future__ import annotations

from attrs import frozen
from attrs.validators import ge

from .schema import option, variant


@variant("mesh")
@frozen(kw_only=True, repr=False)
class Mesh:
    """How many devices a run uses and along which axes it is cut. Placement is never part of an identity."""

    devices: int = option(
        "Number of devices.",
        derived="dp * tp",
        default=1,
        identity=False,
        validator=ge(1),
        ahead=lambda value: value > 1,
    )
    dp: int = option("Data-parallel size.", default=1, identity=False, validator=ge(1))
    tp: int = option("Tensor-parallel size.", default=1, identity=False, validator=ge(1))
