# Completion of @PROGRAM@ for fish: `@PROGRAM@ completion fish | source`, or this file where fish looks.
# The program is asked for what may stand at the cursor.
function __@PROGRAM@_complete
    set -l words (commandline -opc)
    set -l raw (commandline -ct)
    set -l current (string unescape -- "$raw"; or printf '%s\n' "$raw")
    set -l program (string replace -r '^~/' "$HOME/" -- $words[1])
    set -l prefix ''
    set -e words[1]
    command -q -- $program; or set program @PROGRAM@
    for line in ($program completion -- $words "$current" 2>/dev/null)
        set -l parts (string split -m 1 \t -- $line)
        switch $parts[1]
            case :prefix
                set prefix $parts[2]
            case :files
                set -l endings (string split -n ' ' -- $parts[2])
                set -l typed (string sub -s (math (string length -- "$prefix") + 1) -- "$current")
                for name in (__fish_complete_path "$typed" '')
                    set name (string split -m 1 \t -- $name)[1]
                    if test (count $endings) = 0
                        or string match -qr '/$|\.('(string join '|' $endings)')$' -- $name
                        printf '%s\n' "$prefix$name"
                    end
                end
            case :dirs
                set -l typed (string sub -s (math (string length -- "$prefix") + 1) -- "$current")
                for name in (__fish_complete_directories "$typed" '')
                    printf '%s\n' "$prefix"(string split -m 1 \t -- $name)[1]
                end
            case :command
                set -l other $words[(math $parts[2] + 1)..-1]
                complete -C (string join ' ' -- (string escape -- $other) "$raw")
            case '*'
                printf '%s\n' $line
        end
    end
end

complete -c @PROGRAM@ -e
complete -c @PROGRAM@ -f -k -a '(__@PROGRAM@_complete)'
