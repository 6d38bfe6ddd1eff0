# Removes the cgroups that bear the folder's name, inner ones first, those of Podman's containers, and the folder.
folder=${folder:-$1}
for container in "$folder"/data/*-containers/*/; do
    id=$(basename "$container")
    rmdir /sys/fs/cgroup/libpod_parent/*"$id"* /sys/fs/cgroup/*/libpod_parent/*"$id"*
done 2>/dev/null
for group in /sys/fs/cgroup/"${folder##*/}" /sys/fs/cgroup/*/"${folder##*/}"; do
    [ -d "$group" ] && find "$group" -depth -type d -exec rmdir {} +
done
rm -rf -- "$folder"
