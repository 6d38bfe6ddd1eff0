# The keeper of a Windows: sh -c THIS keeper sh -c INNER inner FOLDER PREFIX WINESERVER WINE
#
# Standard input is a pipe that ends with the process that started us, however that one ends. Prints the id of the process whose
# children are in the namespaces: the kernel ends them all with the first of them.
unshare --mount --pid --fork --kill-child=KILL --mount-proc -- "$@" &
echo $!
read -r _
kill -KILL $! 2>/dev/null
wait
# Its mounts are gone with it.
rm -rf --one-file-system -- "$5"
