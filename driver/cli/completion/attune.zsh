#compdef attune
# zsh completion for attune: source <(attune completion zsh), or save it as _attune in a folder of $fpath
_attune() {
    local word text
    local -a found shown
    while IFS=$'\t' read -r word text; do
        found+=("$word")
        shown+=("$word${text:+  -- $text}")
    done < <("${words[1]}" complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)
    if (( $#found )); then
        compadd -l -d shown -- "${found[@]}"
    else
        _files
    fi
}
if [[ "${funcstack[1]}" == _attune ]]; then _attune "$@"; else compdef _attune attune; fi
