# Read by an interactive zsh: the widget `capture` completes each line of $CASES and writes what it would offer to $ANSWERS.
autoload -Uz compinit
compinit -u -D
for program in perfprobe probe-analyze probe-load; do
	source <($program completion zsh)
done
zstyle ':completion:*' format ''
zstyle ':completion:*' group-name ''

typeset -a taken
compadd() {
	# calls that only ask (-O, -A, -D fill an array) are none that offer
	if (( ${@[(I)-[OAD]*]} )); then
		builtin compadd "$@"
		return
	fi
	local -a hits before
	zparseopts -E -- p:=before # the directory that stands there already
	builtin compadd -A hits "$@"
	taken+=("${(@)hits/#/$IPREFIX${before[2]}}")
	builtin compadd "$@"
}

zle -C offer list-choices _main_complete
capture() {
	local line
	for line in "${(@f)$(< $CASES)}"; do
		taken=()
		BUFFER=$line
		CURSOR=$#BUFFER
		zle offer
		print -r -- ">$line" >> $ANSWERS
		(( ! $#taken )) || print -rl -- "${(@)taken}" >> $ANSWERS
	done
	BUFFER=
	print -r -- done >> $ANSWERS
}
zle -N capture
bindkey '^X' capture
print -r -- ready > $ANSWERS.ready
