# The first process of the pid namespace: sh -c THIS inner FOLDER DAEMON ARGUMENT...
#
# Starts the daemon, and again for each line that it reads; the file `ended` says that it is not there.
folder=$1
shift
# In these folders they make sockets whatever they are told.
for run in docker containerd containers; do
    mkdir -p /run/$run && mount -t tmpfs -o mode=711 none /run/$run
done
# Only in a network namespace of its own is it down.
ip link set lo up 2>/dev/null
start() {
    rm -f "$folder/ended" "$folder/pid"
    { "$@" </dev/null >>"$folder/log" 2>&1; echo $? >"$folder/ended"; } &
}
start "$@"
while read -r _; do
    wait
    start "$@"
done
