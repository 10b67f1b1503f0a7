#compdef lbctl
# Completion of lbctl in zsh: asks `lbctl __complete`, which knows the running director's names.

_lbctl() {
    local program=lbctl line word help width=0 files=
    local -a found listed shown
    (( $+commands[lbctl] )) || program=${(Q)words[1]}
    line="${(j: :)words[1,CURRENT-1]} $PREFIX"
    while IFS=$'\t' read -r word help; do
        if [[ $word == :files ]]; then
            files=1
        else
            found+=("$word") listed+=("$help")
            (( ${#word} > width )) && width=${#word}
        fi
    done < <("$program" __complete "$line" 2>/dev/null)
    for (( at = 1; at <= ${#found}; at++ )); do
        shown+=("${(r:width:)found[at]}  ${listed[at]}")
    done
    (( ${#found} )) && compadd -Q -l -V lbctl -d shown -a found
    [[ -z $files ]] || _files
}

# Read by `source`, or loaded by name as zsh does with files in its path.
if [[ ${funcstack[1]} == _lbctl ]]; then
    _lbctl "$@"
else
    compdef _lbctl lbctl
fi
