"""Project folders that `lmc new` starts: a spec that runs, what it reads, and how to run it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from ..spec.diagnostic import LmcError, fail

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

TEMPLATES: dict[str, tuple[str, ...]] = {
    "bytes": ("sonnets.txt",),
    "finetune": ("sonnets.txt",),
    "memory": (),
    "sweep": ("sonnets.txt",),
}
"""The templates, and which of the shared files each has."""

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
PROJECT = "{{project}}"


def start_project(folder: Path, template: str) -> list[Path]:
    """Write a project below a folder that is not there, or empty, and return its files.

    Raises LmcError (LM0804) where that cannot be done; nothing is ever overwritten.
    """
    name = folder.resolve().name
    if not NAME.fullmatch(name):
        raise fail("LM0804", f"`{name}` is no name of a project", help="use letters, digits, `_`, `-` and `.`")
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise fail("LM0804", f"`{folder}` is there already", help="choose another name; nothing was written")
        return [_write(folder / path, text) for path, text in project(name, template).items()]
    except OSError as error:
        raise _unwritable(folder, error) from error


def project(name: str, template: str) -> dict[str, str]:
    """Return the files of a project, by path."""
    from importlib.resources import files  # slow to load, and every command loads this module

    root = files("lmc.compiler").joinpath("templates")
    found = _below(root.joinpath(template), "")
    found[".gitignore"] = root.joinpath("shared", "gitignore").read_text(encoding="utf-8")
    for shared in TEMPLATES[template]:
        found[shared] = root.joinpath("shared", shared).read_text(encoding="utf-8")
    return {
        path.replace("project.lmspec", f"{name}.lmspec"): text.replace(PROJECT, name) for path, text in found.items()
    }


def _below(folder: Traversable, prefix: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            found |= _below(entry, f"{prefix}{entry.name}/")
        else:
            found[prefix + entry.name] = entry.read_text(encoding="utf-8")
    return found


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8", newline="\n") as file:
        file.write(text)
    return path


def _unwritable(folder: Path, error: OSError) -> LmcError:
    return fail("LM0804", f"`{folder}` cannot be written: {error.strerror}", help="choose another folder")
