import Base

/// `skala completion`: the function a shell calls for what may stand next.
enum ShellCompletion {
    static let command = Command(
        "completion", "Print the completion function of a shell", "bash|zsh|fish", 1...1,
        completes: .words(["bash", "zsh", "fish"]),
        examples: [
            "skala completion bash > /etc/bash_completion.d/skala", "source <(skala completion zsh)",
            "skala completion fish > ~/.config/fish/completions/skala.fish",
        ]
    ) { call in
        let shell = call.arguments.positional[0]
        guard let text = scripts[shell] else {
            throw SkalaError(.invalid, "unknown shell '\(shell)': expected bash, zsh or fish")
        }
        try call.output.write(text)
        return 0
    }

    /// Where the program has nothing to offer, the shell completes file names.
    private static let scripts = [
        "bash": """
        _skala() {
            local line="${COMP_LINE:0:COMP_POINT}" current="${COMP_WORDS[COMP_CWORD]}"
            local -a words
            IFS=' ' read -r -a words <<< "$line"
            [[ "$line" == *' ' ]] && words+=("")
            mapfile -t COMPREPLY < <(skala __complete "${words[@]:1}" 2>/dev/null)
            # The shell takes words apart at colons and equal signs: what stands before is not to be repeated.
            local last="${words[-1]}" prefix
            prefix="${last%"$current"}"
            [[ "$current" == ":" || "$current" == "=" ]] && prefix="$last"
            [[ -n "$prefix" ]] && COMPREPLY=("${COMPREPLY[@]#"$prefix"}")
        }
        complete -o default -F _skala skala

        """,
        "zsh": """
        #compdef skala
        compdef _skala skala
        _skala() {
            local -a candidates
            candidates=("${(@f)$(skala __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
            candidates=("${(@)candidates:#}")
            if (( ${#candidates} )); then compadd -- "${(@)candidates}"; else _files; fi
        }
        # In a file of the function path this is the function's own first call.
        [ "$funcstack[1]" = "_skala" ] && _skala

        """,
        "fish": """
        function __skala_complete
            set -l words (commandline --tokenize --cut-at-cursor --current-process)
            skala __complete $words[2..-1] (commandline --current-token) 2>/dev/null
        end
        complete --command skala --arguments '(__skala_complete)'

        """,
    ]
}
