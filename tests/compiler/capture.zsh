# What an interactive zsh offers behind a line: zsh -f capture.zsh SCRIPT LINE OUT writes a word a line to OUT.
zmodload zsh/zpty
zpty inner zsh -f -i
() {
  zpty -w inner "source $1"
  local line
  while zpty -r inner line; do [[ $line == *ready* ]] && break; done
} =(print -r -- "
PROMPT=
autoload -Uz compinit; compinit -u -D
source ${(q)1}
bindkey '^I' complete-word
zstyle ':completion:*' insert-tab false
comppostfuncs=(exit)
compadd() {
  if [[ \${@[1,(i)(-|--)]} == *-(O|A|D)\\ * ]]; then builtin compadd \"\$@\"; return; fi
  local -a hits; local -A flags
  builtin compadd -A hits \"\$@\"
  local -a suffix; zparseopts -E -a _rest S:=suffix
  (( \$#hits )) && print -rl -- \${^hits}\${suffix[2]} >> ${(q)3}
  builtin compadd \"\$@\"
}
print ready")
zpty -w -n inner "$2"$'\t'
local line
while zpty -r inner line; do :; done
exit 0
