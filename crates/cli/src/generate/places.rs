//! Completion of places: the scripts ask `thither list --names` for named places, and the same of `ssh:` and `docker:` for what
//! comes behind these schemes.

use clap_complete::Shell;

/// What a name is offered behind, in a shell's own words, after the generated script.
const BASH: &str = r#"
# Places: named ones, the schemes, the hosts of ssh, and the containers of the engine. Bash takes a word apart at its colons.
_thither_places() {
    local line=${COMP_LINE:0:COMP_POINT} word verb words i place=
    read -r _ verb _ <<<"$line"
    word=${line##*[[:space:]]}
    case $verb,$word in
        shell,docker:*|run,docker:*|python,docker:*|attach,docker:*|cp,docker:*|\
        shell,ssh:*|run,ssh:*|python,ssh:*|cp,ssh:*)
            local scheme=${word%%:*}: behind=
            [[ $COMP_WORDBREAKS == *:* ]] || behind=$scheme
            COMPREPLY=( $(compgen -P "$behind" -W "$(thither list --names "$scheme" 2>/dev/null)" -- "${word#"$scheme"}") )
            [[ $verb == cp ]] && compopt -o nospace
            return 0
            ;;
    esac
    _thither "$@"
    # One place is enough. What follows a long flag may be its value.
    read -ra words <<<"${line%"$word"}"
    for ((i = 2; i < ${#words[@]}; i++)); do
        case ${words[i-1]},${words[i]} in
            --*,*|*,-*) ;;
            *) place=${words[i]} ;;
        esac
    done
    case $verb,$word in
        shell,-*|run,-*|python,-*|attach,-*|cp,*|*:*) ;;
        list,*)
            COMPREPLY+=( $(compgen -W "docker: ssh:" -- "$word") )
            [[ ${COMPREPLY[0]} == *: ]] && compopt -o nospace
            ;;
        shell,*|run,*|python,*|attach,*)
            [[ $place ]] && return 0
            COMPREPLY+=( $(compgen -W "local: chroot: docker: image: ssh: $(thither list --names 2>/dev/null)" -- "$word") )
            [[ ${COMPREPLY[0]} == *: ]] && compopt -o nospace
            ;;
    esac
}
complete -F _thither_places -o bashdefault -o default thither
"#;

const ZSH: &str = r#"
# Places: named ones, the schemes, the hosts of ssh, and the containers of the engine.
_thither_places() {
    local -a names
    local scheme
    for scheme in docker: ssh:; do
        if compset -P "$scheme"; then
            names=(${(f)"$(_call_program names thither list --names $scheme 2>/dev/null)"})
            compadd -a names
            return
        fi
    done
    names=(${(f)"$(_call_program names thither list --names 2>/dev/null)"})
    compadd -a names
    compadd -S '' -- local: chroot: docker: image: ssh:
}

# What there is a list of.
_thither_listed() {
    compadd -S '' -- docker: ssh:
}
"#;

const FISH: &str = r#"
# Places: named ones, the schemes, the hosts of ssh, and the containers of the engine.
function __thither_places
    thither list --names 2>/dev/null
    printf '%s\n' local: chroot: image:
    for scheme in ssh: docker:
        thither list --names $scheme 2>/dev/null | string replace -r '^' $scheme
    end
end
complete -c thither -n "__fish_thither_using_subcommand shell run python attach" -f -a "(__thither_places)"
complete -c thither -n "__fish_thither_using_subcommand list" -f -a "docker: ssh:"
"#;

/// The generated script with places.
pub(super) fn with_places(shell: Shell, script: &str) -> String {
    match shell {
        Shell::Bash => format!("{script}{BASH}"),
        Shell::Zsh => {
            // The functions come before the generated end, which may run the completion at once.
            let script: Vec<String> = script
                .lines()
                .map(|line| match line.trim_start() {
                    arg if arg.starts_with("':place -- ") => {
                        line.replace(":_default'", ":_thither_places'")
                    }
                    // Only there it is optional.
                    arg if arg.starts_with("'::place -- ") => {
                        line.replace(":_default'", ":_thither_listed'")
                    }
                    _ => line.to_owned(),
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
