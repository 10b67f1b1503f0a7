# Completion of lbctl in bash: asks `lbctl __complete`, which knows the running director's names.

_lbctl() {
    local program=lbctl word help begun line=${COMP_LINE:0:COMP_POINT}
    local -a words=() helps=()
    command -v lbctl >/dev/null || program=$1
    COMPREPLY=()
    while IFS=$'\t' read -r word help; do
        if [[ $word == :files ]]; then
            compopt -o default
        else
            words+=("$word") helps+=("$help")
        fi
    done < <("$program" __complete "$line" 2>/dev/null)
    # bash takes what follows the last colon for the word: an address's port.
    begun=${line##*[[:space:]]}
    if [[ $begun == *:* && $COMP_WORDBREAKS == *:* ]]; then
        words=("${words[@]#"${begun%"${begun##*:}"}"}")
    fi
    COMPREPLY=("${words[@]}")
    # A list of words alone is inserted as far as they agree; what they mean is shown when it is asked for again.
    if ((COMP_TYPE == 63 && ${#words[@]} > 1)); then
        local at width=0
        for word in "${words[@]}"; do ((${#word} > width)) && width=${#word}; done
        for at in "${!words[@]}"; do
            printf -v line '%-*s  %s' "$width" "${words[at]}" "${helps[at]}"
            COMPREPLY[at]=${line:0:${COLUMNS:-80}-1}
        done
    fi
}

complete -o nosort -F _lbctl lbctl
