# What stands in for tar where there is neither tar nor Python: a POSIX shell and some of coreutils or busybox. The formats are
# those of told.rs and script.rs.
nl='
'

need() {
    for tool; do
        command -v "$tool" >/dev/null 2>&1 || {
            printf '%s\n' "$tool" >&2
            exit 96
        }
    done
}

# A line about each of these: what it is and its mode, its size and, if that can be had, its time.
about() {
    if [ -n "$stat" ]; then
        # busybox's does not know the fraction.
        stat -c '%A %s %.9Y' "$@" || exit 97
        return
    fi
    for it; do
        line=$(ls -ldn "$it") || exit 97
        line=${line%%"$nl"*}
        kind=${line%% *} line=${line#* }
        for skipped in links user group; do
            line=${line#"${line%%[! ]*}"}
            line=${line#* }
        done
        line=${line#"${line%%[! ]*}"}
        printf '%s %s\n' "$kind" "${line%% *}"
    done
}

# One that has no content.
tell_one() {
    printf '%s\0' "$1" "$2" ''
    about "$2"
    printf '\0'
}

# Some files: what they are, their contents, and what they are then.
tell_files() {
    printf '%s\0' f "$@" ''
    about "$@"
    printf '\0'
    # One that says it is empty and is not, as in /proc, is empty for tar, too.
    [ ! -s "$1" ] || cat "$@" || exit 97
    printf '%s\0' "$token"
    about "$@"
    printf '\0'
}

# The first one only says where they are.
tell_others() {
    shift
    tell_files "$@"
}

tell_folder() {
    [ -r "$1" ] && [ -x "$1" ] || fail "$1: permission denied"
    tell_one d "$1"
    for entry in "$1"/* "$1"/.[!.]* "$1"/..?*; do
        if [ -f "$entry" ] && [ ! -L "$entry" ] && [ -s "$entry" ]; then
            set -- "$@" "$entry"
            [ $# -le 64 ] || {
                tell_others "$@"
                set -- "$1"
            }
        else
            tell "$entry"
        fi
    done
    [ $# = 1 ] || tell_others "$@"
}

tell() {
    if [ -L "$1" ]; then
        tell_one l "$1"
        readlink "$1" || fail "$1: it is no link any more"
        printf '\0'
    elif [ -d "$1" ]; then
        tell_folder "$1"
    elif [ -f "$1" ]; then
        tell_files "$1"
    elif [ -e "$1" ]; then
        tell_one o "$1"
    fi
}

# Writes what $1 is to standard output. $2 is known to nobody else.
pack() {
    token=$2
    export LC_ALL=C
    unset LS_BLOCK_SIZE BLOCK_SIZE BLOCKSIZE GLOBIGNORE
    need cat readlink
    stat=
    if stat -c '%A %s %.9Y' / >/dev/null 2>&1; then stat=yes; else need ls; fi
    printf '\0'
    tell "$1"
    printf 'e\0'
}

# Makes way for something.
vacate() {
    if [ -e "$1" ] || [ -L "$1" ]; then
        rm -f "$1" || exit 97
    fi
}

made_folder() {
    is_directory "$1" && return
    vacate "$1"
    mkdir "$1" || exit 97
}

# Its mode and time, once nothing more comes into it.
left_folder() {
    chmod "$2" "$1" || exit 97
    dated "$1" "$3"
}

# So many bytes of standard input, in whole blocks and a rest, and not one more.
taken() {
    if [ -z "$full" ]; then
        dd ibs=1 obs=65536 count="$1"
    else
        [ "$2" = 0 ] || dd bs=65536 count="$2" iflag=fullblock || return
        [ "$3" = 0 ] || dd bs="$3" count=1 iflag=fullblock
    fi
}

made_file() {
    vacate "$1"
    if [ "$4" = 0 ]; then
        true >"$1" || exit 97
    else
        # It always says something.
        said=$({ taken "$4" "$5" "$6" >"$1"; } 2>&1) || fail "$1: ${said%%"$nl"*}"
    fi
    [ "$2" = "$usual" ] || chmod "$2" "$1" || exit 97
    dated "$1" "$3"
}

made_link() {
    vacate "$1"
    ln -s -- "$2" "$1" || exit 97
    dated "$1" "$3"
}

made_name() {
    vacate "$1"
    ln "$2" "$1" || exit 97
}

# Does in the directory $1 what standard input says. The shell reads not a byte more than a line, as POSIX has it (`read`).
unpack() {
    cd "$1" || exit 97
    export LC_ALL=C
    full= usual=
    [ "$(printf abc | dd bs=2 count=1 iflag=fullblock 2>/dev/null)" != ab ] || full=yes
    true >probe || exit 97
    # An ACL of the directory may give other modes.
    case $(ls -ld probe 2>/dev/null) in
    -rw-r--r--[!+]*) usual=644 ;;
    esac
    if touch -h -d @1.5 probe 2>/dev/null; then
        dated() { touch -h -d "@$2" "$1" 2>/dev/null; }
    elif touch -h -d @1 probe 2>/dev/null; then
        dated() { touch -h -d "@${2%.*}" "$1" 2>/dev/null; }
    else
        dated() { :; }
    fi
    rm -f probe || exit 97
    while IFS= read -r line; do
        [ "$line" != complete ] || exit 0
        eval "$line"
    done
    fail "the stream ended before the archive did"
}
