//! Completion of places, which only the engine knows: the scripts ask `thither list --names docker:`.

use clap_complete::Shell;

/// What a name is offered behind, in a shell's own words, after the generated script.
const BASH: &str = r#"
# Places: the schemes, and the containers of the engine. Bash takes a word apart at its colons.
_thither_places() {
    local line=${COMP_LINE:0:COMP_POINT} word verb
    read -r _ verb _ <<<"$line"
    word=${line##*[[:space:]]}
    case $verb,$word in
        shell,docker:*|run,docker:*|python,docker:*|attach,docker:*|cp,docker:*)
            local behind=
            [[ $COMP_WORDBREAKS == *:* ]] || behind=docker:
            COMPREPLY=( $(compgen -P "$behind" -W "$(thither list --names docker: 2>/dev/null)" -- "${word#docker:}") )
            [[ $verb == cp ]] && compopt -o nospace
            return 0
            ;;
    esac
    _thither "$@"
    case $verb,$word in
        shell,-*|run,-*|python,-*|attach,-*|cp,*|*:*) ;;
        shell,*|run,*|python,*|attach,*|list,*)
            COMPREPLY+=( $(compgen -W "local: chroot: docker: image:" -- "$word") )
            [[ ${COMPREPLY[0]} == *: ]] && compopt -o nospace
            ;;
    esac
}
complete -F _thither_places -o bashdefault -o default thither
"#;

const ZSH: &str = r#"
# Places: the schemes, and the containers of the engine.
_thither_places() {
    if compset -P 'docker:'; then
        local -a names
        names=(${(f)"$(_call_program names thither list --names docker: 2>/dev/null)"})
        compadd -a names
    else
        compadd -S '' -- local: chroot: docker: image:
    fi
}
"#;

const FISH: &str = r#"
# Places: the schemes, and the containers of the engine.
complete -c thither -n "__fish_thither_using_subcommand shell run python attach" -f -a "local: chroot: image: (thither list --names docker: 2>/dev/null | string replace -r '^' docker:)"
"#;

/// The generated script with places.
pub(super) fn with_places(shell: Shell, script: &str) -> String {
    match shell {
        Shell::Bash => format!("{script}{BASH}"),
        Shell::Zsh => {
            // The functions come before the generated end, which may run the completion at once.
            let script: Vec<String> = script
                .lines()
                .map(|line| match line.trim_start().starts_with("':place -- ") {
                    true => line.replace(":_default'", ":_thither_places'"),
                    false => line.to_owned(),
                })
                .collect();
            let script = script.join("\n");
            let end = "if [ \"$funcstack[1]\" = \"_thither\" ]";
            match script.split_once(end) {
                Some((before, after)) => format!("{before}{}\n{end}{after}\n", ZSH.trim_start()),
                None => format!("{script}\n{ZSH}"),
            }
        }
        _ => format!("{script}{FISH}"),
    }
}
