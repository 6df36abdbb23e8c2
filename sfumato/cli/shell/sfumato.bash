# Completion of sfumato in bash. In ~/.bashrc: eval "$(sfumato completion bash)"
_sfumato() {
    local kind word
    COMPREPLY=()
    {
        IFS= read -r kind
        while IFS=$'\t' read -r word _; do COMPREPLY+=("$word"); done
    } < <("$1" complete "${COMP_WORDS[@]:1:COMP_CWORD-1}" "$2" 2>/dev/null)
    if [[ $kind == files ]]; then
        compopt -o filenames 2>/dev/null
        while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -f -- "$2")
    fi
}
complete -F _sfumato sfumato
