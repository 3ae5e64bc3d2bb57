"""What is asked of sampling that greedy words do not heed."""

from __future__ import annotations

from collections.abc import Sequence

from ...spec.diagnostic import Diagnostic
from ..generation.sampling import Sampling

FILTERS = ("top_k", "top_p", "min_p")


def greedy_hint(samplings: Sequence[Sampling], samples: int = 1) -> Diagnostic | None:
    """Return a hint if some of these take the likeliest token although they filter, or say it several times over."""
    greedy = [sampling for sampling in samplings if sampling.temperature == 0]
    ignored = [f"--{name.replace('_', '-')}" for name in FILTERS if any(getattr(each, name) for each in greedy)]
    if greedy and samples > 1:
        ignored.insert(0, f"--samples {samples}")
    if not ignored:
        return None
    change = "changes" if len(ignored) == 1 else "change"
    message = f"temperature 0 takes the likeliest token; {', '.join(ignored)} {change} nothing"
    return Diagnostic("LM0810", message, None, help="--temperature 1 samples", severity="hint")
