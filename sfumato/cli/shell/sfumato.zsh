# Completion of sfumato in zsh. In ~/.zshrc, after compinit: eval "$(sfumato completion zsh)"
_sfumato() {
    local line word
    local -a answer candidates
    answer=("${(@f)$("${(Q)words[1]}" complete "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    for line in "${(@)answer[2,-1]}"; do
        word=${line%%$'\t'*}
        candidates+=("${word//:/\\:}:${line#*$'\t'}")
    done
    (( $#candidates )) && _describe sfumato candidates
    [[ $answer[1] == files ]] && _files
}
compdef _sfumato sfumato
