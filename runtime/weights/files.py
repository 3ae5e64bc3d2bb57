"""The files of a folder or repository that weights are read from. Never loads torch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...spec.diagnostic import Diagnostic, LmcError
from ..extras import library

CONFIG = "config.json"
WHOLE = "model.safetensors"
INDEX = "model.safetensors.index.json"


def weight_files(folder: Path) -> list[Path]:
    """Return the files of a folder that are read: `config.json`, the index if there is one, and safetensors.

    Raises LmcError: LM0701 for a missing file, LM0702 for a damaged index.
    """
    index = [] if (folder / WHOLE).is_file() else [folder / INDEX]
    return [_existing(folder / CONFIG), *tensor_files(folder), *index]


def tensor_files(folder: Path) -> list[Path]:
    """Return the safetensors of a folder: one file, or those that its index names. Raises as `weight_files`."""
    if (folder / WHOLE).is_file():
        return [folder / WHOLE]
    if not (folder / INDEX).is_file():
        message = f"`{folder}` has neither {WHOLE} nor {INDEX}"
        raise LmcError(Diagnostic("LM0701", message, None, help="weights are read from safetensors only"))
    return [_existing(folder / name) for name in _shards(folder / INDEX)]


def read_object(path: Path) -> dict[str, Any]:
    """Return a JSON object. Raises LmcError: LM0701 for a missing file, LM0702 for a damaged one."""
    try:
        data = json.loads(_existing(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise damaged(path, str(error)) from error
    if not isinstance(data, dict):
        raise damaged(path, "it is no JSON object")
    return data


def damaged(path: Path, reason: str) -> LmcError:
    """Return the error for a file that is not what it should be."""
    return LmcError(Diagnostic("LM0702", f"`{path}` is damaged: {reason}", None))


def download(repo: str, revision: str | None) -> Path:
    """Return a folder with the files of a repository, from the hub's cache or the net.

    Raises LmcError: LM0709 without the library, LM0715 if neither has the files.
    """
    hub: Any = library("huggingface_hub", "hf", "a repository of the hub")
    with _loading(hub, repo):
        try:
            hub.hf_hub_download(repo, WHOLE, revision=revision)
        except hub.errors.EntryNotFoundError:
            index = Path(hub.hf_hub_download(repo, INDEX, revision=revision))
            for name in _shards(index):
                hub.hf_hub_download(repo, name, revision=revision)
        return Path(hub.hf_hub_download(repo, CONFIG, revision=revision)).parent


def download_config(repo: str, revision: str | None) -> Path:
    """Return a folder with `config.json` of a repository, and perhaps other files. Raises LmcError as `download`."""
    hub: Any = library("huggingface_hub", "hf", "a repository of the hub")
    with _loading(hub, repo):
        return Path(hub.hf_hub_download(repo, CONFIG, revision=revision)).parent


@contextmanager
def _loading(hub: Any, repo: str) -> Iterator[None]:
    """Turn what the library raises into LM0715."""
    try:
        yield
    except (OSError, ValueError, hub.errors.EntryNotFoundError) as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        message = f"weights of `{repo}` cannot be loaded: {reason}"
        help = "check the name, load it once with a connection, or give a folder: folder = file(...)"
        raise LmcError(Diagnostic("LM0715", message, None, help=help)) from error


def _shards(index: Path) -> list[str]:
    names = read_object(index).get("weight_map")
    if not isinstance(names, dict) or not names or not all(_is_name(name) for name in names.values()):
        raise damaged(index, "it has no weight_map of file names")
    return sorted(set(names.values()))


def _is_name(name: Any) -> bool:
    """Whether a value is the name of a file in the same folder."""
    return isinstance(name, str) and name not in ("", ".", "..") and not {"/", "\\", "\0"} & set(name)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise LmcError(Diagnostic("LM0701", f"file `{path}` does not exist", None, help="check the folder"))
    return path
