# Completion of sfumato in fish. In ~/.config/fish/config.fish: sfumato completion fish | source
function __sfumato_completions
    set -l words (commandline -opc)
    set -l last (commandline -ct)
    set -l answer ($words[1] complete $words[2..-1] "$last" 2>/dev/null)
    test "$answer[1]" = files; and __fish_complete_path "$last"
    printf '%s\n' $answer[2..-1]
end
complete -c sfumato -f -a '(__sfumato_completions)'
