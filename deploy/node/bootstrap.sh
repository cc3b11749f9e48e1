#!/bin/sh
# Puts Shoal on a node, keeps it there, and takes it away again. The node pulls as before whatever fails.
# What it promises: docs/install.md. How the Helm chart uses it: deploy/node/README.md.
set -eu
umask 022
export LC_ALL=C

package=$(dirname -- "$(readlink -f -- "$0")")
. "$package/bootstrap/common.sh"
. "$package/bootstrap/container.sh"
. "$package/bootstrap/files.sh"
. "$package/bootstrap/runtime.sh"
. "$package/bootstrap/service.sh"
. "$package/bootstrap/kubelet.sh"
. "$package/bootstrap/install.sh"

usage() {
  cat >&2 <<'TEXT'
usage: bootstrap.sh install|upgrade|status|uninstall|watch [options]
  --runtime <name>    auto | containerd | crio | k3s | rke2
  --kubelet <way>     auto | config | flag | k3s | rke2 | none (none: the mirror alone, the kubelet is left as it is)
  --files <folder>    its files go to /etc/shoal; repeat for more
  --host <folder>     run from a container in which the node's / is mounted there
  --root <folder>     a system that does not run: files only
  --interval <s>      watch: seconds between two looks (60)
  --purge             uninstall: also what an administrator wrote in /etc/shoal
  --dry-run           say what would be done
TEXT
  exit 64
}

command=${1:-}
[ $# -gt 0 ] && shift
# Read by the parts above.
export purge dry_run
runtime=auto kubelet=auto files='' host='' root='' interval=60 purge='' dry_run=''
while [ $# -gt 0 ]; do
  case $1 in
    --runtime | --kubelet | --files | --host | --root | --interval) [ $# -ge 2 ] || usage ;;
  esac
  case $1 in
    --runtime) runtime=$2 && shift ;;
    --kubelet) kubelet=$2 && shift ;;
    --files) files="$files$2
" && shift ;;
    --host) host=${2%/} && shift ;;
    --root) root=${2%/} && shift ;;
    --interval) interval=$2 && shift ;;
    --purge) purge=1 ;;
    --dry-run) dry_run=1 ;;
    *) usage ;;
  esac
  shift
done
case $command in install | upgrade | status | uninstall | watch) ;; *) usage ;; esac
case $runtime in auto | containerd | crio | k3s | rke2) ;; *) usage ;; esac
case $kubelet in auto | config | flag | k3s | rke2 | none) ;; *) usage ;; esac
case $interval in '' | *[!0-9]*) usage ;; esac
[ -z "$host" ] || [ -z "$root" ] || usage

[ "$(id -u)" = 0 ] || refuse 'only root can change a node: run this as root'

if [ "$command" = watch ]; then
  watch_node
elif [ -n "$host" ]; then
  in_host "$command"
else
  case $command in
    install | upgrade) install_node ;;
    status) status_node ;;
    uninstall) uninstall_node ;;
  esac
fi
