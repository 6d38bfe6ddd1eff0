# Writes what is called $2 in the directory $1 to standard output, as a tar stream.
unset CDPATH TAR_OPTIONS
command -v tar >/dev/null 2>&1 || exit 96
[ -e "$1/$2" ] || [ -L "$1/$2" ] || exit 98
# Of GNU's formats this is the one with fractions of seconds; others have one format.
case $(tar --version 2>/dev/null) in
*GNU*) exec tar --format=posix -C "$1" -cf - "./$2" ;;
*) exec tar -C "$1" -cf - "./$2" ;;
esac
