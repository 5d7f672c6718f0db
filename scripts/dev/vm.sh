#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A Debian 12 machine with a real systemd, cgroup v2 and containerd, emulated (no KVM needed), to try what this repository's own test machines cannot:
# the systemd unit, slices, a reboot. Needs root, debootstrap, qemu-system-x86, qemu-utils (apt-get install --no-install-recommends).
#
#   scripts/dev/vm.sh make             builds the disk (about 2 minutes); once
#   scripts/dev/vm.sh up [KEY=VALUE…]  boots it with this checkout at /opt/holdfast (about 30 s), disk as made; arguments go to the kernel's
#                                      command line, e.g. systemd.unified_cgroup_hierarchy=0 for cgroup v1
#   scripts/dev/vm.sh run COMMAND…     runs COMMAND in the machine's bash, prints its output, exits with its status
#   scripts/dev/vm.sh put FILE… FOLDER copies files or folders into the running machine
#   scripts/dev/vm.sh reboot           reboots it, as systemctl does, and waits for the end of the boot
#   scripts/dev/vm.sh console          prints what the machine wrote on its serial console
#   scripts/dev/vm.sh down             powers off; what was written to its disk is lost
#   scripts/dev/vm.sh once COMMAND…    up, run, down
#
# In the machine, `vm-driver systemd|cgroupfs` chooses containerd's cgroup driver. It has no network but its own pods'.
# FOLDER=/var/tmp/holdfast-vm, MIRROR and MEMORY (MiB) can be set; NUMA=2 gives it 8 CPUs on two NUMA nodes, two threads a core. Runs at nice 19.
set -euo pipefail

repo=$(cd "$(dirname "$0")/../.." && pwd)
here=$repo/scripts/dev/vm
folder=${FOLDER:-/var/tmp/holdfast-vm}
mirror=${MIRROR:-http://deb.debian.org/debian}
node=$repo/node_modules/.bin/node
packages=systemd-sysv,dbus,udev,kmod,procps,iproute2,iptables,containerd,runc,containernetworking-plugins,busybox-static,tini,initramfs-tools,linux-image-cloud-amd64
renice -n 19 -p $$ >/dev/null

make_disk() {
  local root=$folder/rootfs
  mkdir -p "$folder"
  if [ ! -e "$folder/bootstrapped" ]; then
    rm -rf "${root:?}"
    debootstrap --variant=minbase --include="$packages" bookworm "$root" "$mirror"
    touch "$folder/bootstrapped"
  fi
  cp -r --no-preserve=ownership "$here/rootfs/." "$root/"
  "$node" "$here/images.mjs" "$root" "$root/var/lib/vm-images"
  echo vm >"$root/etc/hostname"
  printf '127.0.0.1 localhost vm\n' >"$root/etc/hosts"
  printf 'LABEL=root / ext4 errors=remount-ro 0 1\nLABEL=checkout /opt/holdfast ext4 defaults 0 0\n' >"$root/etc/fstab"
  mkdir -p "$root/opt/holdfast"
  chroot "$root" passwd -d root >/dev/null
  systemctl --root="$root" enable vm-runner.service vm-images.service containerd.service 2>/dev/null ||
    chroot "$root" systemctl enable vm-runner.service vm-images.service containerd.service
  # The journal stays over a reboot, so that both boots can be read.
  mkdir -p "$root/var/log/journal"
  cp "$root"/boot/vmlinuz-* "$folder/vmlinuz"
  cp "$root"/boot/initrd.img-* "$folder/initrd"
  rm -f "$folder/root.img"
  mke2fs -q -t ext4 -L root -d "$root" "$folder/root.img" 6G
  echo "made $folder/root.img"
}

# What the machine needs of the checkout: sources, bundles, run-time dependencies. Tools of the developer stay out.
make_checkout() {
  local stage=$folder/checkout
  mkdir -p "$stage"
  # Status 1: a file changed meanwhile, like the link count of what another clone shares with this one.
  { tar -C "$repo" -c --exclude=./.git --exclude=./.holdfast --exclude=./bench-results --exclude='@bufbuild+buf*' --exclude='@turbo*' --exclude='*typescript-linux*' \
    --exclude='dprint-node*' --exclude='@rolldown*' --exclude='@ox*' --exclude='oxfmt*' --exclude='@esbuild*' --exclude='lightningcss*' . || [ $? -eq 1 ]; } | tar -x -C "$stage" --overwrite
  rm -f "$folder/checkout.img"
  mke2fs -q -t ext4 -L checkout -d "$stage" "$folder/checkout.img" 2G
  rm -rf "$stage"
}

running() { [ -e "$folder/pid" ] && kill -0 "$(cat "$folder/pid")" 2>/dev/null; }

up() {
  if running; then
    echo "already up" >&2
    return
  fi
  [ -e "$folder/root.img" ] || make_disk
  make_checkout
  rm -f "$folder/root.qcow2" "$folder/runner.sock"
  qemu-img create -q -f qcow2 -F raw -b root.img "$folder/root.qcow2"
  printf '%s' "$*" >"$folder/append"
  start
}

start() {
  local memory=${MEMORY:-3072} shape=(-smp 2 -cpu max)
  if [ "${NUMA:-1}" = 2 ]; then
    # Under an AMD name the emulator shows no second threads.
    shape=(-smp "8,sockets=2,cores=2,threads=2" -cpu max,vendor=GenuineIntel)
    for n in 0 1; do
      shape+=(-object "memory-backend-ram,id=node$n,size=$((memory / 2))M" -numa "node,nodeid=$n,memdev=node$n,cpus=$((4 * n))-$((4 * n + 3))")
    done
  fi
  qemu-system-x86_64 -accel tcg,thread=multi -machine q35 "${shape[@]}" -m "$memory" -display none -nic none \
    -kernel "$folder/vmlinuz" -initrd "$folder/initrd" \
    -append "root=LABEL=root rw console=ttyS0 mitigations=off quiet systemd.show_status=0 $(cat "$folder/append")" \
    -drive "file=$folder/root.qcow2,if=virtio,format=qcow2,cache=unsafe" \
    -drive "file=$folder/checkout.img,if=virtio,format=raw,cache=unsafe" \
    -device virtio-serial -chardev "socket,id=runner,path=$folder/runner.sock,server=on,wait=off" \
    -device virtserialport,chardev=runner,name=org.holdfast.runner \
    -chardev "socket,id=console,path=$folder/console.sock,server=on,wait=off,logfile=$folder/console.log" -serial chardev:console -no-reboot -daemonize -pidfile "$folder/pid"
  booted
}

# Not `--wait`: when the boot ends right then, it waits for ever. "degraded" is for those who look.
booted() {
  timeout 180 "$0" run 'until systemctl is-system-running | grep -qE "running|degraded"; do sleep 0.3; done'
}

# The system shuts down as for any reboot; the emulator ends there and is started anew, which also clears the runner's port.
reboot() {
  timeout 10 "$0" run 'systemctl reboot' >/dev/null 2>&1 || true
  for _ in $(seq 400); do
    if ! running; then break; fi
    sleep 0.5
  done
  start
}

run() { "$node" "$here/run.mjs" "$folder/runner.sock" "$*"; }

put() {
  local to=${*: -1} files=("${@:1:$#-1}") from
  for from in "${files[@]}"; do
    {
      echo "mkdir -p '$to'; base64 -d <<'END_OF_FILES' | tar -xz -C '$to'"
      tar -C "$(dirname "$from")" -cz "$(basename "$from")" | base64
      echo END_OF_FILES
    } | "$node" "$here/run.mjs" "$folder/runner.sock"
  done
}

down() {
  if ! running; then return; fi
  local pid
  pid=$(cat "$folder/pid")
  timeout 20 "$node" "$here/run.mjs" "$folder/runner.sock" 'systemctl poweroff' >/dev/null 2>&1 || true
  for _ in $(seq 60); do
    if ! kill -0 "$pid" 2>/dev/null; then break; fi
    sleep 0.5
  done
  kill "$pid" 2>/dev/null || true
  rm -f "$folder/pid" "$folder/root.qcow2"
}

verb=${1:-help}
if [ $# -gt 0 ]; then shift; fi
case $verb in
make) make_disk ;;
up) up "$@" ;;
run) run "$@" ;;
put) put "$@" ;;
reboot) reboot ;;
console) cat "$folder/console.log" ;;
down) down ;;
once)
  up
  status=0
  run "$@" || status=$?
  down
  exit "$status"
  ;;
*) sed -n '3,19p' "$0" | sed 's/^# \{0,1\}//' ;;
esac
