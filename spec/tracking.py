"""Where a training is shown besides its own folder: the variants of `train { track }`."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from .schema import option, variant


@variant("track", "tensorboard")
@frozen(kw_only=True, repr=False)
class TensorBoard:
    """Event files in the run's folder, which `tensorboard --logdir runs` shows; needs the extra `track`."""


@variant("track", "wandb")
@frozen(kw_only=True, repr=False)
class Wandb:
    """A run of Weights & Biases, whose files are in the run's folder; needs the extra `track`."""

    project: str = option("Project.", default="lmc", identity=False)
    entity: str | None = option("User or team; none: that of the key.", default=None, identity=False)
    mode: Literal["offline", "online", "disabled"] = option(
        "On disk only, for `wandb sync`; sent as it goes, with the key of `wandb login`; or not at all.",
        default="offline",
        identity=False,
    )


Track = TensorBoard | Wandb
LIBRARIES = {TensorBoard: "tensorboard", Wandb: "wandb"}
"""What each is written with."""


def library_of(track: Track | None) -> str | None:
    """Return the library that a tracker needs, or None."""
    if track is None or (isinstance(track, Wandb) and track.mode == "disabled"):
        return None
    return LIBRARIES[type(track)]
