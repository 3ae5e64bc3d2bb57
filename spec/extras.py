"""Extras of the package: libraries that only some specs and commands need."""

from __future__ import annotations


def install_extra(extra: str) -> str:
    """Say how an extra of `pyproject.toml` is installed; lmc is installed from its folder, never by its name."""
    return f"install the extra `{extra}` of lmc: pip install -e '.[{extra}]' in its folder"
