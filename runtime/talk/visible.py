"""Control characters, spelled: what a model says must not move the cursor of the terminal that shows it."""

from __future__ import annotations

import re

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def visible(text: str) -> str:
    r"""Return a text in which control characters other than line end and tab are spelled: `\x1b` for escape."""
    return CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def visible_json(text: str) -> str:
    r"""Return JSON that holds the same, with the control characters that it allows as they are spelled: `\u007f`."""
    return CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
