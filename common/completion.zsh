#compdef @PROGRAM@
# Completion of @PROGRAM@ for zsh: `source <(@PROGRAM@ completion zsh)` after compinit, or this file as _@PROGRAM@ in $fpath.
# The program is asked for what may stand at the cursor.
_@PROGRAM@() {
	local program=${(Q)words[1]/#\~\//$HOME/} line kind rest
	local -a open closed endings
	(( $+commands[$program] )) || [[ $program == */* && -x $program ]] || program=@PROGRAM@
	for line in "${(@f)$("$program" completion -- "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2> /dev/null)}"; do
		kind=${line%%$'\t'*}
		rest=${line#"$kind"}
		rest=${rest#$'\t'}
		case $kind in
		(:prefix) compset -P "${(b)rest}" ;;
		(:files)
			endings=(${=rest})
			if (( $#endings )); then
				_files -g "*.(${(j:|:)endings})"
			else
				_files
			fi ;;
		(:dirs) _files -/ ;;
		(:command)
			shift $(( rest + 1 )) words
			(( CURRENT -= rest + 1 ))
			_normal ;;
		(*[=:@/]) open+=("${kind//:/\\:}${rest:+:$rest}") ;; # more follows: no blank after it
		(?*) closed+=("${kind//:/\\:}${rest:+:$rest}") ;;
		esac
	done
	(( ! $#closed )) || _describe -V candidate closed
	(( ! $#open )) || _describe -V candidate open -S ''
}

if [[ $funcstack[1] == _@PROGRAM@ ]]; then
	_@PROGRAM@ "$@"
else
	compdef _@PROGRAM@ @PROGRAM@
fi
