"""What a worker says while it works: one JSON object a line, so that any parent can read it.

Belongs here: the events and their text form. Printing is `progress.py`'s.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal

from attrs import asdict, frozen

EventKind = Literal["start", "note", "step", "done", "failed", "blocked", "waiting", "interrupted"]


@frozen
class Event:
    """One thing that happened to one node.

    `data` by kind: note {text, share: of work that goes on, or None}; step {step, steps, loss, tokens_per_second};
    done {seconds, summary}; failed {code, message, help, place}; blocked {by}; waiting {holder};
    interrupted {step, limit}.
    """

    kind: EventKind
    node: str
    what: str
    name: str
    data: dict[str, Any]

    def line(self) -> str:
        """Return the event as one line of JSON."""
        return json.dumps(asdict(self), ensure_ascii=False)


Emit = Callable[[Event], None]


def parse_event(line: str) -> Event | None:
    """Return the event that a line holds, or None for any other output."""
    if not line.startswith('{"kind":'):
        return None
    try:
        return Event(**json.loads(line))
    except (ValueError, TypeError):
        return None
