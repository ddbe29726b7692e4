# Boots the system LOWER, which stays as it is, with its changes below UPPER, in the cgroup CGROUP.
# Runs in the host's network namespace of a lab; all other namespaces are made here, and end with this process.
set -e
LOWER=$1 UPPER=$2 CGROUP=$3
echo $$ >"$CGROUP/cgroup.procs"
exec unshare --mount --pid --fork --kill-child --uts --ipc --cgroup sh -ec '
    root=$1/root
    mkdir -p "$root" "$1/changes" "$1/work"
    mount -t overlay -o "lowerdir=$0,upperdir=$1/changes,workdir=$1/work" overlay "$root"
    mount -t proc proc "$root/proc"
    mount -t sysfs sysfs "$root/sys"
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
    # systemd mounts it, but not where it runs as in a container.
    mount -t bpf -o mode=700 bpf "$root/sys/fs/bpf"
    mount -t tmpfs tmpfs "$root/run"
    mount -t tmpfs tmpfs "$root/dev"
    for device in null zero full random urandom tty; do
        touch "$root/dev/$device"
        mount --bind "/dev/$device" "$root/dev/$device"
    done
    ln -s /proc/self/fd "$root/dev/fd"
    # Without it no service has devices of its own.
    ln -s pts/ptmx "$root/dev/ptmx"
    mkdir "$root/dev/shm" "$root/dev/pts"
    # Devices, and switches that no namespace has for itself, are those of the machine outside.
    for unit in systemd-udevd.service systemd-udevd-kernel.socket systemd-udevd-control.socket \
        systemd-udev-trigger.service systemd-sysctl.service; do
        ln -s /dev/null "$root/etc/systemd/system/$unit"
    done
    hostname debian
    cd "$root"
    pivot_root . mnt
    umount --lazy /mnt
    exec env -i container=netfwd PATH=/usr/sbin:/usr/bin:/sbin:/bin /sbin/init
' "$LOWER" "$UPPER"
