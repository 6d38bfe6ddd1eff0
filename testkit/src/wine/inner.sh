# The first process of the pid namespace: sh -c THIS inner FOLDER PREFIX WINESERVER WINE
#
# The prefix that all tests share is read; what this Windows writes goes to memory, and with it. Wine's server has its socket
# in a folder of its own in /tmp, whatever it is told.
set -e
folder=$1 shared=$2 server=$3 wine=$4
sockets=/tmp/.wine-$(id -u)
mkdir -p -m 700 "$sockets"
mount -t tmpfs -o mode=700 none "$sockets"
mkdir "$folder/memory" "$folder/prefix"
mount -t tmpfs -o mode=755 none "$folder/memory"
mkdir "$folder/memory/upper" "$folder/memory/work"
mount -t overlay -o "lowerdir=$shared,upperdir=$folder/memory/upper,workdir=$folder/memory/work" none "$folder/prefix"
export WINEPREFIX="$folder/prefix"
"$server" --foreground --persistent &
# What Windows starts first stays, with the streams that it was given.
"$wine" wineboot </dev/null >/dev/null 2>&1
touch "$folder/ready"
wait
