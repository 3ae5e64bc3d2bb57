"""The tensors of a folder by name, read from its safetensors one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from ...spec.diagnostic import Diagnostic, LmcError
from .files import damaged, tensor_files

FLOATS = ("F64", "F32", "F16", "BF16")


class Tensors:
    """Open safetensors: names, shapes, and values when they are asked for."""

    def __init__(self, handles: dict[Path, Any]) -> None:
        """Take a handle of safetensors per file."""
        self._holders = {name: (path, handle) for path, handle in handles.items() for name in handle.keys()}  # noqa: SIM118

    def names(self) -> set[str]:
        """Return the names of all tensors."""
        return set(self._holders)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor. Raises LmcError (LM0714) if it holds no floating-point numbers."""
        path, handle = self._holders[name]
        part = handle.get_slice(name)
        if part.get_dtype() not in FLOATS:
            message = f"tensor `{name}` of `{path}` is {part.get_dtype()}"
            raise LmcError(Diagnostic("LM0714", message, None, help=f"store it as one of {', '.join(FLOATS)}"))
        return tuple(part.get_shape())

    def read(self, name: str) -> Tensor:
        """Return a tensor on CPU, as it is stored."""
        return self._holders[name][1].get_tensor(name)  # type: ignore[no-any-return]


@contextmanager
def open_tensors(folder: Path) -> Iterator[Tensors]:
    """Give the tensors of a folder. Raises LmcError: LM0701 for a missing file, LM0702 for a damaged one."""
    with ExitStack() as stack:
        handles = {}
        for path in tensor_files(folder):
            try:
                handles[path] = stack.enter_context(safe_open(path, framework="pt"))
            except (SafetensorError, OSError) as error:
                raise damaged(path, str(error)) from error
        yield Tensors(handles)
