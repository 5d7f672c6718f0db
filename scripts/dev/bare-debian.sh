#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A bare Debian in a folder, to try the README's commands as a new user would: only git, Node and npm of Debian are added.
# Needs root and debootstrap (apt-get install debootstrap). Nothing outside the folder changes.
#
#   scripts/dev/bare-debian.sh make  [FOLDER]              debootstrap (about a minute); SUITE=trixie for Debian 13
#   scripts/dev/bare-debian.sh run   [FOLDER] -- COMMAND…  clones this repository's HEAD into it (first time) and runs COMMAND there, in mount,
#                                                          pid, uts and ipc namespaces of its own, with the folder as a pivoted root
#   scripts/dev/bare-debian.sh fresh [FOLDER]              removes the clone inside, for a new one
#
# The network is the host's: run `npm run clean` inside when done, or its bridge and rules stay.
set -euo pipefail

here=$(cd "$(dirname "$0")/../.." && pwd)
suite=${SUITE:-bookworm}
mirror=${MIRROR:-http://deb.debian.org/debian}
verb=${1:-help}
folder=/var/tmp/holdfast-bare-$suite
if [ $# -ge 2 ] && [ "$2" != -- ]; then
  folder=$2
  shift
fi
clone=/root/holdfast

case $verb in
make)
  debootstrap --variant=minbase --include=ca-certificates "$suite" "$folder" "$mirror"
  # What a user adds. npm of Debian pulls many small packages; recommendations stay out.
  cp /etc/resolv.conf "$folder/etc/resolv.conf"
  chroot "$folder" apt-get install -y --no-install-recommends nodejs npm git
  # The certificates with which this machine reaches its registries.
  mkdir -p "$folder/usr/local/share/ca-certificates"
  cp -r /usr/local/share/ca-certificates/. "$folder/usr/local/share/ca-certificates/" 2>/dev/null || true
  cp /etc/ssl/certs/ca-certificates.crt "$folder/etc/ssl/certs/ca-certificates.crt"
  ;;
fresh)
  rm -rf "${folder:?}$clone"
  ;;
run)
  shift
  if [ "${1:-}" = -- ]; then shift; fi
  if [ ! -d "$folder$clone" ]; then git clone -q "$here" "$folder$clone"; fi
  # runc pivots roots and wants `/` to be a mount point: the folder is bound on itself and becomes the root of a new mount namespace.
  exec unshare --mount --pid --fork --uts --ipc --kill-child --propagation private bash -euc '
    folder=$1 clone=$2
    shift 2
    mount --bind "$folder" "$folder"
    mount --make-private "$folder"
    cd "$folder"
    mount -t proc proc proc
    mount --rbind /sys sys
    mount --rbind /dev dev
    mount -t tmpfs tmpfs run
    mkdir -p old
    pivot_root . old
    umount -l old
    rmdir old 2>/dev/null || true
    cd "$clone"
    exec env -i HOME=/root TERM="${TERM:-dumb}" PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
      ${HTTPS_PROXY:+HTTPS_PROXY="$HTTPS_PROXY"} ${HTTP_PROXY:+HTTP_PROXY="$HTTP_PROXY"} \
      ${NODE_EXTRA_CA_CERTS:+NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt} /bin/bash -c "$*"
  ' bash "$folder" "$clone" "$@"
  ;;
*)
  sed -n '3,14p' "$0" | sed 's/^# \{0,1\}//'
  ;;
esac
