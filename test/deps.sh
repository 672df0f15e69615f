#!/usr/bin/env bash
# Installs the Debian packages that are missing:
#   test/deps.sh run    what the controller and a switch on this machine need
#   test/deps.sh test   that, and what the tests need
#   test/deps.sh kernel that, and what runs a kernel in a virtual machine
# It asks for nothing when nothing is missing.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin"

missing=()
need() { # need PACKAGE CONDITION…
  local package=$1
  shift
  "$@" >/dev/null 2>&1 || missing+=("$package")
}
have() { command -v "$1"; }
static_busybox() { have busybox && ! ldd "$(command -v busybox)"; }
postgres_server() { compgen -G '/usr/lib/postgresql/*/bin/postgres' || have postgres; }

case "${1:-}" in
  run) ;;
  test | kernel)
    need iproute2 have ip
    need procps have sysctl
    need ethtool have ethtool
    need mininet have mn
    need iperf3 have iperf3     # load between hosts
    need curl have curl         # of the examples in docs/api.md
    need python3 have python3
    need python3-openstackclient test -d /usr/lib/python3/dist-packages/openstackclient # drives the API in test/clients
    need ansible-core have ansible-inventory # reads macloom inventory
    need udhcpc have udhcpc     # clients that instances have
    need isc-dhcp-client have dhclient
    need ndisc6 have rdisc6
    need tcpdump have tcpdump   # reads frames of ours
    need iputils-ping have ping # of mininet's hosts
    need gcc have gcc           # of the race detector
    need libc6-dev test -e /usr/include/stdlib.h
    if [ "$1" = kernel ]; then
      need qemu-system-x86 have qemu-system-x86_64
      need busybox-static static_busybox # the only program that the machine begins with
      need kmod have depmod
      need cpio have cpio
    fi
    ;;
  *)
    echo "usage: $0 run|test|kernel" >&2
    exit 2
    ;;
esac
need postgresql postgres_server
need openvswitch-switch have ovs-vswitchd

if ((${#missing[@]} == 0)); then
  exit 0
fi
echo "installing: ${missing[*]}"
if ! command -v apt-get >/dev/null; then
  echo "$0: this is not Debian: install what corresponds to these Debian packages: ${missing[*]}" >&2
  exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "$0: installing needs root and there is no sudo. As root: apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi

# The tests start their own servers: those of the machine shall not start with
# the packages. Debian asks this file before it starts a service.
policy=/usr/sbin/policy-rc.d
if [ "$1" != run ] && [ ! -e "$policy" ]; then
  trap '"${as_root[@]}" rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod 755 "$policy"
fi
"${as_root[@]}" apt-get update -q
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
