#!/bin/sh
# Runs systemd(1) as the first process of namespaces of its own, with the units of one folder and nothing else, so that a
# unit's sandbox is systemd's own and not one that a test imitates.
#
#   systemd-here.sh GROUP UNITS TARGET PROGRAM
#
# GROUP names control groups of its own, which whoever started it removes; /run is empty but for the folder `program` with PROGRAM in it.
set -eu

# A group below the one that this shell is in, in each hierarchy: what systemd makes stays below it.
while IFS=: read -r _ controllers path; do
    case "$controllers" in
        '') for root in /sys/fs/cgroup /sys/fs/cgroup/unified; do [ -f "$root/cgroup.procs" ] && break; done ;;
        name=*) root="/sys/fs/cgroup/${controllers#name=}" ;;
        *) root="/sys/fs/cgroup/$controllers" ;;
    esac
    [ -d "$root$path" ] || continue
    mkdir -p "$root${path%/}/$1"
    # A cpuset without processors takes nobody; systemd does not use it.
    echo $$ > "$root${path%/}/$1/cgroup.procs" || true
done < /proc/self/cgroup

exec unshare --pid --fork --kill-child --mount --cgroup --uts --ipc --propagation private /bin/sh -euc '
    mount -t proc proc /proc
    mount -t tmpfs -o mode=0755 tmpfs /run
    mkdir /run/program
    cp "$4" /run/program/
    hybrid=no
    [ -d /sys/fs/cgroup/systemd ] && hybrid=yes
    mount -t tmpfs tmpfs /sys/fs/cgroup
    if [ $hybrid = yes ]; then
        mkdir /sys/fs/cgroup/systemd /sys/fs/cgroup/unified
        mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
        mount -t cgroup2 cgroup /sys/fs/cgroup/unified
    else
        mount -t cgroup2 cgroup /sys/fs/cgroup
    fi
    exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=lxc SYSTEMD_UNIT_PATH="$2" SYSTEMD_LOG_TARGET=console \
        /lib/systemd/systemd --system --unit="$3"
' sh "$@"
