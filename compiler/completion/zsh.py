"""The script of zsh."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .words import BLOCK_KINDS, Command, Option, Taken

HEAD = r"""#compdef lmc
# Completion of lmc for zsh. Say in ~/.zshrc, behind compinit:  eval "$(lmc completion zsh)"

_lmc_blocks() {  # names of blocks of these kinds, in the specs of the command line or else of this folder
  local -a specs=(${(M)words:#*.lmspec}) names
  (( $#specs )) || specs=(*.lmspec(N))
  (( $#specs )) && names=(${(f)"$(sed -nE "s/^($1)[[:space:]]+([A-Za-z_][A-Za-z0-9_]*).*/\2/p" $specs 2>/dev/null)"})
  compadd "${@:2}" -a names
}

_lmc_overlays() { _lmc_blocks overlay "$@" }
_lmc_any_block() { _lmc_blocks 'KINDS' "$@" }
_lmc_settings() { _lmc_blocks 'KINDS' "$@" -S . }

_lmc_runs() {  # names of the runs of the store
  local store=${opt_args[--store]:-runs}
  local -a graphs=($store/*/graph.jsonl(N)) names
  (( $#graphs )) && names=(${(fu)"$(sed -nE 's/.*"name": *"([^"]*)".*/\1/p' ${graphs/%graph.jsonl/node.json})"})
  compadd "$@" -a names
}

_lmc() {
  local context state state_descr line
  local -A opt_args
  local -a commands=(
COMMANDS
  )
  _arguments -C '(- *)'{-h,--help}'[show help]' '(- *)--version[show the version]' \
    '1:command:->command' '*::argument:->argument'
  case $state in
    command) _describe command commands ;;
    argument)
      case $words[1] in
CASES
      esac ;;
  esac
}

if [[ $funcstack[1] == _lmc ]]; then _lmc "$@"; else compdef _lmc lmc; fi
"""
ACTIONS = {
    "": " ",
    "spec": '_files -g "*.lmspec"',
    "file": "_files",
    "folder": "_files -/",
    "overlay": "_lmc_overlays",
    "setting": "_lmc_settings",
    "block": "_lmc_any_block",
    "run": "_lmc_runs",
}


def zsh(commands: Sequence[Command]) -> str:
    """Return the script."""
    listed = "\n".join("    " + _quoted(f"{command.name}:{_plain(command.help, ':')}") for command in commands)
    cases = "\n".join(_case(command) for command in commands)
    return HEAD.replace("KINDS", BLOCK_KINDS).replace("COMMANDS", listed).replace("CASES", cases)


def _case(command: Command) -> str:
    lines = [*(_option(option) for option in command.options), *_places(command)]
    return f"        {command.name}) _arguments -S \\\n" + " \\\n".join(f"          {line}" for line in lines) + " ;;"


def _option(option: Option) -> str:
    value = "" if option.value is None else f": :{_action(option.value)}"
    text = _quoted(f"[{_plain(option.help, '[]:')}]{value}")
    if len(option.flags) == 1:
        return f"{_quoted('*') if option.repeats else ''}{option.flags[0]}{text}"
    excluded = _quoted("*" if option.repeats else f"({' '.join(option.flags)})")
    return f"{excluded}{{{','.join(option.flags)}}}{text}"


def _places(command: Command) -> Iterator[str]:
    for number, place in enumerate(command.places, 1):
        start = "*" if place.many else str(number)
        yield _quoted(f"{start}:{_plain(place.name, ':')}:{_action(place.value)}")


def _action(value: Taken) -> str:
    return f"({' '.join(value.choices)})" if value.what == "choice" else ACTIONS[value.what]


def _plain(text: str, special: str) -> str:
    return "".join(f"\\{c}" if c in special or c == "\\" else c for c in text)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
