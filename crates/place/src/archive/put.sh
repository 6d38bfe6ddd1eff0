# Unpacks the tar stream on standard input, which holds `root` and after it `complete`, an archive of its directories, and gives
# `root` its name.
# Nothing is changed unless all has arrived. The functions of name.sh come before. That all is ready for the stream is said by `ready`,
# or by `shell` where there is neither tar nor Python: then it is lines for `unpack` of shell.sh instead.
path=$1     # as it was asked for
dir=$2      # the directory that it is in
last=$3     # its name there, or `.`
slash=$4    # whether it has to be a directory
name=$5     # the name of what is copied
kind=$6     # d for a directory
mode=$7     # its mode
random=$8
only=$9    # whether there is another way, which this is to be like

preserve=${10}  # what is to be kept: owner, xattr, sparse

unset CDPATH TAR_OPTIONS
if [ "$way" = shell ]; then
    [ -z "$preserve" ] || exit 91
    need chmod dd mkdir mv rm
else
    version=$(tar --version 2>&1 </dev/null)
    [ $? -lt 126 ] || [ -z "$only" ] || exit 96
fi
case $preserve in
*owner*)
    [ "$(id -u)" = 0 ] || exit 93
    # By numbers: no names are sent.
    set -- ;;
*) set -- -o ;;
esac
case $preserve in
*xattr* | *sparse*)
    case $version in
    *GNU*) ;;
    *) exit 94 ;;
    esac ;;
esac
case $preserve in
*xattr*)
    # One that was built without says so.
    [ -z "$(tar --xattrs -cf - -T /dev/null 2>&1 >/dev/null)" ] || exit 94
    set -- "$@" --xattrs '--xattrs-include=user.*' ;;
esac
case $version in
*GNU*) set -- "$@" -b 64 ;;
esac
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
target=${base%/}/$last

check "$kind" "$target"
is_directory "$target" && base=$target

# Names end at 255 bytes: one that is long is left out.
[ "${#last}" -le 100 ] && [ "$last" != . ] || last=long
tmp=${base%/}/.$last.thither-$random
clean() {
    chmod -R u+rwx "$tmp/root" 2>/dev/null
    rm -rf "$tmp"
}
umask 077
mkdir "$tmp" || exit 95
trap clean EXIT
# Nobody else gets in there. busybox's tar takes the umask off the modes unless root runs it.
umask 022
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
if [ -n "$only" ]; then
    # The group is ours, not that of a set-group-id directory.
    [ ! -g "$tmp" ] || chmod g-s "$tmp" || exit 95
fi
echo "$way"
exec >/dev/null
if [ "$way" = shell ]; then
    (unpack "$tmp") || exit 97
    name "$tmp/root" "$target" "$kind" "$mode"
    exit 0
fi
case $preserve in
*xattr*)
    # That it could not set one it only says.
    said=$(LC_ALL=C tar -x -p "$@" -C "$tmp" -f - 2>&1)
    code=$?
    [ -z "$said" ] || printf '%s\n' "$said" >&2
    case $said in
    *"Cannot set 'user."*) exit 92 ;;
    esac
    [ "$code" = 0 ] || exit 97 ;;
*) tar -x -p "$@" -C "$tmp" -f - || exit 97 ;;
esac
[ -f "$tmp/complete" ] || fail "the stream ended before the archive did"
case $version in
# It sets the times of directories at its end.
*GNU*) ;;
*) tar -x -p "$@" -C "$tmp" -f "$tmp/complete" 2>/dev/null ;;
esac

name "$tmp/root" "$target" "$kind" "$mode"
