# Completion of @PROGRAM@ for bash: `source <(@PROGRAM@ completion bash)`, or this file where bash-completion looks.
# The program is asked for what may stand at the cursor.
_@PROGRAM@()
{
	local line=${COMP_LINE:0:COMP_POINT} words=() from=() i word program
	# readline parts words at = and : as well; what has no blank before it belongs to the word before
	for ((i = 0; i <= COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		if ((i > 0)) && [[ $line != [[:space:]]* && ${#words[@]} -gt 0 ]]; then
			[[ $line == "$word"* ]] || word=$line
			words[${#words[@]} - 1]+=$word
		else
			line=${line#"${line%%[![:space:]]*}"}
			[[ $line == "$word"* ]] || word=$line
			words+=("$word")
			from+=("$i")
		fi
		line=${line#"$word"}
	done

	program=${words[0]/#\~\//$HOME/}
	type -P -- "$program" > /dev/null || program=@PROGRAM@
	local current=${words[${#words[@]} - 1]} prefix= kind rest head
	head=${current%"${current##*["${COMP_WORDBREAKS//@/}"]}"} # readline keeps it; @ at the beginning it does not
	COMPREPLY=()
	while IFS=$'\t' read -r kind rest; do
		case $kind in
		:prefix) prefix=$rest ;;
		:files | :dirs) _@PROGRAM@_files "$kind" "$rest" ;;
		:command) _@PROGRAM@_other "${from[rest + 1]}" && return ;;
		?*) COMPREPLY+=("$kind") ;;
		esac
	done < <("$program" completion -- "${words[@]:1}" 2> /dev/null)
	for i in "${!COMPREPLY[@]}"; do
		COMPREPLY[i]=${COMPREPLY[i]#"$head"}
	done
	if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=:@/] ]]; then
		compopt -o nospace 2> /dev/null
	fi
}

# Names of files that begin as what is typed after $prefix, with one of the endings in $2; directories always.
_@PROGRAM@_files()
{
	local name ending typed=${current#"$prefix"}
	typed=${typed#[\"\']}
	typed=${typed//\\/}
	compopt -o filenames 2> /dev/null
	while IFS= read -r name; do
		if [[ -d ${name/#\~\//$HOME/} || ($1 == :files && -z $2) ]]; then
			COMPREPLY+=("$prefix$name")
			continue
		fi
		for ending in $2; do
			if [[ $name == *".$ending" ]]; then
				COMPREPLY+=("$prefix$name")
			fi
		done
	done < <(compgen -f -- "$typed")
}

# The command line of another program, from word $1 on: its own completion where bash-completion is loaded.
_@PROGRAM@_other()
{
	if declare -F _comp_command_offset > /dev/null; then
		_comp_command_offset "$1"
	elif declare -F _command_offset > /dev/null; then
		_command_offset "$1"
	elif (($1 == COMP_CWORD)); then
		compopt -o filenames 2> /dev/null
		mapfile -t COMPREPLY < <(compgen -c -- "$current"; compgen -d -- "$current")
	else
		compopt -o default 2> /dev/null
	fi
}

complete -F _@PROGRAM@ @PROGRAM@
