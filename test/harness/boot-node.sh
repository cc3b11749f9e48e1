#!/bin/sh
# In mount, process, network, host name and IPC namespaces of its own: makes $1 (a folder that exists) the root of a machine with
# the tree of $2 below it, and the repository $3 at /src, and starts its process 1, which the other arguments name. Everything goes
# with the namespaces.
set -eu
top=$1 tree=$2 source=$3
shift 3
mount --make-rprivate /
mount -t tmpfs none "$top"
mkdir "$top/upper" "$top/work" "$top/root"
mount -t overlay none -o "lowerdir=$tree,upperdir=$top/upper,workdir=$top/work" "$top/root"
cd "$top/root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 none sys/fs/cgroup
mount -t tmpfs none dev
for device in null zero full random urandom tty; do
  touch "dev/$device"
  mount --bind "/dev/$device" "dev/$device"
done
mkdir -p dev/pts dev/shm src var/lib/containerd
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs none run
mount -t tmpfs none var/lib/containerd
mount --rbind -o ro "$source" src
echo shoal-node >etc/hostname
ip link set lo up
# Not chroot: who enters the mount namespace of process 1 is to be in this tree, and nowhere else.
mkdir outside
pivot_root . outside
exec env -i container=shoal-test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  /bin/sh -c 'umount -l /outside && rmdir /outside && exec "$0" "$@"' "$@"
