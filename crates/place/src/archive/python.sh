# Where there is no tar, Python does the little that is needed of it, and where there is no Python this shell: shell.sh. What is set
# in $only says that there is another way, and that neither is to be tried.
python= way=ready
if ! command -v tar >/dev/null 2>&1; then
    [ -z "$only" ] || exit 96
    for python in python3 python ''; do
        [ -z "$python" ] || ! command -v "$python" >/dev/null 2>&1 || break
    done
    if [ -n "$python" ]; then
        tar() { "$python" -c "$tar_code" "$@"; }
    else
        way=shell
    fi
fi
