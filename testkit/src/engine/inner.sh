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
    # The containerd of a killed dockerd is being killed too, but the next one would take it for its own.
    for process in /proc/[0-9]*; do
        [ "$(cat "$process/comm" 2>/dev/null)" = containerd ] && kill -9 "${process#/proc/}" 2>/dev/null
    done
    rm -f "$folder/ended" "$folder/pid" "$folder/exec/containerd/containerd.pid"
    { "$@" </dev/null >>"$folder/log" 2>&1; echo $? >"$folder/ended"; } &
}
start "$@"
while read -r _; do
    wait
    start "$@"
done
