# Removes the cgroups that bear the folder's name, inner ones first, and the folder.
folder=${folder:-$1}
for group in /sys/fs/cgroup/"${folder##*/}" /sys/fs/cgroup/*/"${folder##*/}"; do
    [ -d "$group" ] && find "$group" -depth -type d -exec rmdir {} +
done
rm -rf -- "$folder"
