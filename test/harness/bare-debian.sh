#!/bin/sh
# bare-debian.sh <layers> <top> <folder>… -- <command>: in a mount namespace of its own, runs the command with <layers> (overlayfs'
# lowerdir) as its root folder. Of this machine it sees the kernel's files and the folders, at the places that they have here.
# <top> is a folder that exists: what is written elsewhere is kept in memory above it, and goes with the namespace.
set -eu
layers=$1 top=$2
shift 2
mount --make-rprivate /
mount -t tmpfs none "$top"
mkdir "$top/upper" "$top/work" "$top/root"
mount -t overlay none -o "lowerdir=$layers,upperdir=$top/upper,workdir=$top/work" "$top/root"
cd "$top/root"
mount -t proc proc proc
for device in null zero full random urandom; do
  [ -e "dev/$device" ] || touch "dev/$device"
  mount --bind "/dev/$device" "dev/$device"
done
while [ "$1" != -- ]; do
  mkdir -p ".$1"
  mount --bind "$1" ".$1"
  shift
done
shift
# Not chroot: nothing of this machine is to stay in reach, or to be held by the copies of its mounts.
mkdir outside
pivot_root . outside
exec env --unset=SHOAL_ENTRY PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  /bin/sh -c 'umount -l /outside && rmdir /outside && exec "$0" "$@"' "$@"
