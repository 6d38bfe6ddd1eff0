# Functions that give what has arrived its name, as cp(1) would.

fail() {
    printf '%s\n' "$1" >&2
    exit 97
}

is_directory() {
    [ -d "$1" ] && [ ! -L "$1" ]
}

# Whether something of the kind $1 may take the place of $2.
check() {
    if is_directory "$2"; then
        [ "$1" = d ] || fail "cannot replace $2: it is a directory"
    elif [ -e "$2" ] || [ -L "$2" ]; then
        [ "$1" != d ] || fail "cannot replace $2: it is no directory"
        [ -f "$2" ] || [ -L "$2" ] || fail "cannot replace $2: it is no regular file"
    fi
}

# mv(1) moves into a link to a directory instead of replacing it.
replace() {
    if [ -L "$2" ] && [ -d "$2" ]; then
        rm -f "$2" || exit 97
    fi
    mv -f "$1" "$2" || exit 97
}

# Merges the directory $2 into $3, or with $1 = check looks whether it can be done.
merge() {
    for entry in "$2"/* "$2"/.[!.]* "$2"/..?*; do
        [ -e "$entry" ] || [ -L "$entry" ] || continue
        there=$3/${entry##*/}
        if is_directory "$entry"; then
            check d "$there"
            if is_directory "$there"; then
                merge "$1" "$entry" "$there"
                continue
            fi
        else
            check f "$there"
        fi
        [ "$1" = check ] || replace "$entry" "$there"
    done
}

# Gives what has arrived at $1 the name $2. It is of the kind $3, d for a directory, with the mode $4.
name() {
    check "$3" "$2"
    if is_directory "$2"; then
        [ -w "$2" ] || fail "$2: permission denied"
        merge check "$1" "$2"
        merge now "$1" "$2"
    elif [ "$3" = d ]; then
        # A directory that is not writable cannot be moved to another one.
        chmod 700 "$1" && replace "$1" "$2" && chmod "$4" "$2" || exit 97
    else
        replace "$1" "$2"
    fi
}
