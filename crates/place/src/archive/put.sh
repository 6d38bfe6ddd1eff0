# Unpacks the tar stream on standard input, which holds `root` and after it `complete`, and gives `root` its name.
# Nothing is changed unless all has arrived.
path=$1     # as it was asked for
dir=$2      # the directory that it is in
last=$3     # its name there, or `.`
slash=$4    # whether it has to be a directory
name=$5     # the name of what is copied
kind=$6     # d for a directory
mode=$7     # its mode
random=$8

fail() {
    printf '%s\n' "$1" >&2
    exit 97
}

unset CDPATH
command -v tar >/dev/null 2>&1 || exit 96
if [ -d "$path" ]; then
    base=$path last=$name
elif [ -n "$slash" ]; then
    [ -e "$dir/$last" ] && fail "it is no directory"
    exit 98
else
    base=$dir
    [ -e "$base" ] || exit 98
    [ -d "$base" ] || fail "$base is no directory"
fi
target=$base/$last

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

check "$kind" "$target"
merged=
if is_directory "$target"; then
    merged=yes base=$target
fi

# Names end at 255 bytes: one that is long is left out.
[ "${#last}" -le 100 ] && [ "$last" != . ] || last=long
tmp=$base/.$last.thither-$random
clean() {
    chmod -R u+rwx "$tmp/root" 2>/dev/null
    rm -rf "$tmp"
}
umask 077
mkdir "$tmp" || exit 97
trap clean EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
tar -x -p -o -C "$tmp" -f - || exit 97
[ -f "$tmp/complete" ] || fail "the stream ended before the archive did"

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

if [ -n "$merged" ]; then
    [ -w "$target" ] || fail "$target: permission denied"
    merge check "$tmp/root" "$target"
    merge now "$tmp/root" "$target"
elif [ "$kind" = d ]; then
    # A directory that is not writable cannot be moved to another one.
    chmod 700 "$tmp/root" && replace "$tmp/root" "$target" && chmod "$mode" "$target" || exit 97
else
    replace "$tmp/root" "$target"
fi
