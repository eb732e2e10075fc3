# Boots systemd as process 1 of namespaces of its own, on a root that cannot be written, up to glasses.service.
# Called by booted.py, under unshare: $1 its folder (image/, opt/, room/), $2 models, $3 Python's prefix, $4 its packages.
set -eu
mkdir "$1/etc"
cp -a /etc/. "$1/etc/"
rm -rf "$1"/etc/systemd/system/*.wants "$1"/etc/systemd/system/*.requires
cp -a "$1/image/etc/." "$1/etc/"
mount --bind "$1/etc" /etc
mount --bind "$1/opt" /opt
mount --bind "$3" /opt/python
mount --bind "$4" /opt/site
mount --bind "$1" /mnt
mount --bind "$2" /media
mount -t tmpfs -o mode=755 tmpfs /var
mkdir -p /var/lib/glasses/models /var/log /var/tmp /var/cache
mount --bind /media /var/lib/glasses/models
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/room
mount --bind /mnt/room /run/room
printf '[Unit]\nWants=glasses.service\n' >/etc/systemd/system/test.target
systemd-sysusers /etc/sysusers.d/glasses.conf
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -o remount,bind,ro /
exec env -i container=docker PATH="$PATH" /lib/systemd/systemd --system --unit=test.target --show-status=0
