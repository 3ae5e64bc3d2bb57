"""The commands of `lmc`, a module each: `HELP`, `add_arguments`, and `run`, which returns the exit code.

Only here are results printed and exit codes chosen, and only here is the runtime imported, inside `run`.
Exit codes: 0 clean, 1 diagnostics, 2 usage, 3 a run failed, 75 a run stopped and can go on.
"""

from types import ModuleType

from . import (
    chat,
    check,
    completion,
    diff,
    docs,
    explain,
    export,
    fmt,
    generate,
    import_,
    lock,
    lsp,
    new,
    plan,
    profile,
    run,
    schema,
    show,
    status,
    why,
)
from . import compile as compile_

COMMANDS: tuple[ModuleType, ...] = (
    new,
    check,
    fmt,
    compile_,
    lock,
    plan,
    diff,
    run,
    status,
    generate,
    chat,
    export,
    import_,
    schema,
    profile,
    why,
    show,
    explain,
    docs,
    lsp,
    completion,
)
"""In the order in which help lists them."""
