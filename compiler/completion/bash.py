"""The script of bash (3.2 and later)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .words import BLOCK_KINDS, Command, Taken

HEAD = r"""# Completion of lmc for bash. Say in ~/.bashrc:  eval "$(lmc completion bash)"

_lmc_blocks() {  # names of blocks of these kinds, in the specs of the command line or else of this folder
  local word IFS=$'\n' specs=()
  for word in "${COMP_WORDS[@]:1}"; do
    [[ $word == *.lmspec && -f $word ]] && specs+=("$word")
  done
  (( ${#specs[@]} )) || specs=($(compgen -G '*.lmspec'))
  (( ${#specs[@]} )) && sed -nE "s/^($1)[[:space:]]+([A-Za-z_][A-Za-z0-9_]*).*/\2/p" "${specs[@]}"
}

_lmc_runs() {  # names of the runs of the store
  local i store=runs
  for ((i = 1; i < COMP_CWORD; i++)); do
    [[ ${COMP_WORDS[i]} == --store ]] && store=${COMP_WORDS[i + 1]}
  done
  local graphs=("$store"/*/graph.jsonl)
  [[ -e ${graphs[0]} ]] && sed -nE 's/.*"name": *"([^"]*)".*/\1/p' "${graphs[@]/%graph.jsonl/node.json}" | sort -u
}

_lmc_take() {  # complete a word of a kind: _lmc_take KIND [CHOICES]
  local IFS=$'\n'
  case $1 in
    choice) COMPREPLY=($(IFS=' '; compgen -W "$2" -- "$cur")) ;;
    spec) compopt -o filenames 2>/dev/null
      COMPREPLY=($(compgen -f -X '!*.lmspec' -- "$cur") $(compgen -d -- "$cur")) ;;
    file) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$cur")) ;;
    folder) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -d -- "$cur")) ;;
    overlay) COMPREPLY=($(compgen -W "$(_lmc_blocks overlay)" -- "$cur")) ;;
    block) COMPREPLY=($(compgen -W "$(_lmc_blocks 'KINDS')" -- "$cur")) ;;
    setting) compopt -o nospace 2>/dev/null
      COMPREPLY=($(compgen -S . -W "$(_lmc_blocks 'KINDS')" -- "$cur")) ;;
    run) COMPREPLY=($(compgen -W "$(_lmc_runs)" -- "$cur")) ;;
  esac
}

_lmc() {
  local cur=${COMP_WORDS[COMP_CWORD]} command='' option='' place=0 i word
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    if [[ $word == '=' ]]; then  # bash parts words at `=`
      [[ $option ]] || option='='
    elif [[ $option ]]; then
      option=''
    else
      case $command:$word in
TAKING
        *:-*) ;;
        :*) command=$word ;;
        *) ((place++)) ;;
      esac
    fi
  done
  [[ $cur == '=' ]] && cur=''
  if [[ $option ]]; then
    case $command:$option in
VALUES
    esac
  elif [[ $cur == -* ]]; then
    case $command in
OPTIONS
    esac
  elif [[ -z $command ]]; then
    _lmc_take choice 'COMMANDS'
  else
    case $command:$place in
PLACES
    esac
  fi
}

complete -F _lmc lmc
"""


def bash(commands: Sequence[Command]) -> str:
    """Return the script."""
    parts = {
        "TAKING": "\n".join(f"        {patterns}) option=$word ;;" for patterns in _taking(commands)),
        "VALUES": "\n".join(_values(commands)),
        "OPTIONS": "\n".join(_options(commands)),
        "PLACES": "\n".join(_places(commands)),
        "COMMANDS": " ".join(command.name for command in commands),
        "KINDS": BLOCK_KINDS,
    }
    script = HEAD
    for name, text in parts.items():
        script = script.replace(name, text)
    return script


def _taking(commands: Sequence[Command]) -> Iterator[str]:
    for command in commands:
        flags = [f"{command.name}:{flag}" for option in command.options if option.value for flag in option.flags]
        if flags:
            yield "|".join(flags)


def _values(commands: Sequence[Command]) -> Iterator[str]:
    for command in commands:
        for option in command.options:
            if option.value is not None and option.value.what:
                yield f"      {'|'.join(f'{command.name}:{flag}' for flag in option.flags)}) {_take(option.value)} ;;"


def _options(commands: Sequence[Command]) -> Iterator[str]:
    yield "      '') _lmc_take choice '--help --version' ;;"
    for command in commands:
        yield f"      {command.name}) _lmc_take choice '{' '.join(f for o in command.options for f in o.flags)}' ;;"


def _places(commands: Sequence[Command]) -> Iterator[str]:
    for command in commands:
        for number, place in enumerate(command.places):
            more = "*" if place.many else str(number)
            if place.value.what:
                yield f"      {command.name}:{more}) {_take(place.value)} ;;"


def _take(value: Taken) -> str:
    return f"_lmc_take choice '{' '.join(value.choices)}'" if value.what == "choice" else f"_lmc_take {value.what}"
