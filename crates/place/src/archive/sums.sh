# Prints how it does it, and then a line `SUM NAME` with the SHA-256 sum of each file whose name is on standard input; names
# end with a NUL there. What it cannot read it leaves out.
python='
import hashlib, sys
for name in sys.stdin.buffer.read().split(b"\0"):
    try:
        with open(name, "rb") as file:
            sum = hashlib.sha256()
            for bytes in iter(lambda: file.read(1 << 20), b""):
                sum.update(bytes)
    except OSError:
        continue
    sys.stdout.buffer.write(sum.hexdigest().encode() + b"  " + name + b"\n")
'
there() {
    command -v "$1" >/dev/null 2>&1
}

if [ "$(printf 'a\0b' | xargs -0 echo 2>/dev/null)" = 'a b' ]; then
    if there sha256sum; then set -- sha256sum
    elif there shasum; then set -- shasum -a 256
    elif there openssl; then set -- openssl dgst -sha256 -r
    fi
fi
if [ $# -gt 0 ]; then
    printf '%s\n' "$1"
    xargs -0 "$@" 2>/dev/null
elif there python3; then
    echo python3
    exec python3 -c "$python"
fi
exit 0
