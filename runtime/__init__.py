"""The verbs after the plan: components that train, generate, evaluate, probe and draw.

Belongs here: everything that needs torch or touches a run. Does not: the language; nothing in this
package imports `lmc.compiler` or lark, so a plan runs where only `lmc.spec` and `lmc.runtime` are.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .talk.loaded import LoadedRun


def load(
    run: str,
    *,
    store: str | Path = "runs",
    device: str | None = None,
    part: str | None = None,
    context: int | None = None,
    lanes: int = 64,
    memory: int = 2**30,
) -> LoadedRun:
    """Load a finished run of a store, to talk with it, continue prompts and score texts.

    Args:
        run: its name, id or folder.
        store: the folder of the run store.
        device: cpu, cuda, cuda:1 ...; None for cuda if present.
        part: of its data, the one whose tools answer: needed where parts of a mixture have different ones.
        context: most tokens of a prompt and its continuation; None for what the run was trained on.
        lanes: most prompts that are continued at a time.
        memory: most bytes that are kept of what was read, so that it is not read again.

    Raises LmcError: LM0805 without a whole checkpoint, LM0809 for an unknown or ambiguous run, LM0810 for an unknown
    part and for tools that are ambiguous, LM0903 for a device that this machine has not.
    """
    from .talk.loaded import load_run

    return load_run(Path(store), run, device, part=part, context=context, lanes=lanes, memory=memory)
