"""The script of fish."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .words import BLOCK_KINDS, Command, Taken

HEAD = r"""# Completion of lmc for fish. Say once:  lmc completion fish > ~/.config/fish/completions/lmc.fish

function __lmc_blocks  # names of blocks of these kinds, in the specs of the command line or else of this folder
    set -l specs (string match -- '*.lmspec' (commandline -opc))
    test -n "$specs"; or set specs *.lmspec
    test -n "$specs"; and sed -nE "s/^($argv[1])[[:space:]]+([A-Za-z_][A-Za-z0-9_]*).*/\2$argv[2]/p" $specs 2>/dev/null
end

function __lmc_specs  # specs and folders
    set -l token (commandline -ct)
    for path in $token*
        if test -d $path
            echo $path/
        else
            string match -- '*.lmspec' $path
        end
    end
end

function __lmc_runs  # names of the runs of the store
    set -l said (commandline -opc)
    set -l store runs
    set -l at (contains -i -- --store $said); and set store $said[(math $at + 1)]
    set -l graphs $store/*/graph.jsonl
    set -l nodes (string replace graph.jsonl node.json $graphs)
    test -n "$nodes"; and sed -nE 's/.*"name": *"([^"]*)".*/\1/p' $nodes | sort -u
end

function __lmc_at  # COMMAND PLACE TAKING: whether it is this command, and so many words that are no options follow it
    set -l said (commandline -opc)[2..]
    test "$said[1]" = "$argv[1]"; or return 1
    test "$argv[2]" = any; and return 0
    set -l place 0
    set -l taken 0
    for word in $said[2..]
        if test $taken = 1
            set taken 0
        else if contains -- $word $argv[3..]
            set taken 1
        else if not string match -q -- '-*' $word
            set place (math $place + 1)
        end
    end
    test $taken = 0; or return 1
    test $place = $argv[2]; or begin
        string match -q '*+' -- $argv[2]; and test $place -ge (string trim -r -c + $argv[2])
    end
end

complete -c lmc -f
complete -c lmc -n __fish_use_subcommand -s h -l help -d 'show help'
complete -c lmc -n __fish_use_subcommand -l version -d 'show the version'
"""


def fish(commands: Sequence[Command]) -> str:
    """Return the script."""
    return HEAD + "\n".join(line for command in commands for line in _lines(command)) + "\n"


def _lines(command: Command) -> Iterator[str]:
    yield f"complete -c lmc -n __fish_use_subcommand -a {command.name} -d {_quoted(command.help)}"
    for option in command.options:
        flags = " ".join(f"-l {f[2:]}" if f.startswith("--") else f"-s {f[1:]}" for f in option.flags)
        value = "" if option.value is None else f" -r {_values(option.value)}".rstrip()
        yield f"complete -c lmc -n '__lmc_at {command.name} any' {flags}{value} -d {_quoted(option.help)}"
    taking = " ".join(flag for option in command.options if option.value for flag in option.flags)
    for number, place in enumerate(command.places):
        if place.value.what:
            at = f"{number}+" if place.many else str(number)
            yield f"complete -c lmc -n '__lmc_at {command.name} {at} {taking}' {_values(place.value)}"


def _values(value: Taken) -> str:
    names = f"__lmc_blocks {_double(BLOCK_KINDS)}"
    return {
        "": "-f",
        "choice": f"-f -a {_quoted(' '.join(value.choices))}",
        "spec": "-f -a '(__lmc_specs)'",
        "file": "-F",
        "folder": "-f -a '(__fish_complete_directories)'",
        "overlay": "-f -a '(__lmc_blocks overlay)'",
        "block": f"-f -a '({names})'",
        "setting": f"-f -a '({names} .)'",
        "run": "-f -a '(__lmc_runs)'",
    }[value.what]


def _double(text: str) -> str:
    return f'"{text}"'


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
