# Joins standard input and output to a socket: the TCP port $3 of the host $2, or without a host the Unix socket $3. $1 is the
# program for Python, which can say what went wrong.
for python in python3 python; do
    if command -v "$python" >/dev/null 2>&1; then exec "$python" -c "$1" "$2" "$3"; fi
done
if command -v socat >/dev/null 2>&1; then
    printf +
    if [ -n "$2" ]; then exec socat - "TCP:$2:$3"; else exec socat - "UNIX-CONNECT:$3"; fi
fi
if command -v nc >/dev/null 2>&1; then
    printf +
    if [ -n "$2" ]; then exec nc "$2" "$3"; else exec nc -U "$3"; fi
fi
echo "neither Python nor socat nor nc is there" >&2
exit 96
