"""The files that a page of the documents shows: a name in backquotes and a colon, then the block with the text."""

import re
from pathlib import Path

NAMED = re.compile(r"^`([\w./-]+)`:\n\n(`{3,})\w*\n(.*?)^\2$", re.DOTALL | re.MULTILINE)


def files(page: Path) -> dict[str, str]:
    """Return the files that a page shows, by name."""
    return {name: text for name, _, text in NAMED.findall(page.read_text("utf-8"))}


def lay_files(page: Path, folder: Path) -> None:
    """Write the files that a page shows to a folder."""
    for name, text in files(page).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
