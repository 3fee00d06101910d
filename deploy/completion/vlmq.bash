# Completion of vlmq for bash. Install as /usr/share/bash-completion/completions/vlmq, or source it.
# The words come from the program itself, so verbs, kinds and options are always those it has.
_vlmq()
{
    local cur=${COMP_WORDS[COMP_CWORD]} words
    words=$("${COMP_WORDS[0]}" completion -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    COMPREPLY=()
    if [[ -n $words ]]; then
        local IFS=$'\n'
        COMPREPLY=($(compgen -W "$words" -- "$cur"))
    fi
}
# Where no word fits, names of files are offered.
complete -o bashdefault -o default -F _vlmq vlmq
