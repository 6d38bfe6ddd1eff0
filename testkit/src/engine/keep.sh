# The keeper of a daemon: sh -c THIS keeper FOLDER [--net] sh -c INNER inner FOLDER DAEMON ARGUMENT...
#
# Standard input is a pipe that ends with the process that started us, however that one ends. Standard output is the
# folder, locked: the lock ends with the last of us. The daemon and all that comes of it live in a pid namespace, so
# the kernel ends them with its first process, the inner shell; and in a mount namespace, so that no mount is left.
folder=$1
shift
unshare --mount --pid --fork --kill-child --mount-proc "$@"
