# shellcheck shell=sh disable=SC2154,SC2034
# Which container runtime the node has, and what makes it ask Shoal's mirror first.

detect_runtime() {
  [ "$runtime" = auto ] || return 0
  if [ -n "$(recall runtime)" ]; then
    runtime=$(recall runtime)
  elif [ -d "$root/var/lib/rancher/k3s/agent" ] || [ -d "$root/etc/rancher/k3s" ]; then
    runtime=k3s
  elif [ -d "$root/var/lib/rancher/rke2/agent" ] || [ -d "$root/etc/rancher/rke2" ]; then
    runtime=rke2
  elif [ -e "$root/etc/crio/crio.conf" ] || [ -d "$root/etc/crio/crio.conf.d" ]; then
    runtime=crio
  elif [ -e "$root/usr/bin/containerd" ] || [ -e "$root/usr/local/bin/containerd" ] || [ -d "$root/etc/containerd" ]; then
    runtime=containerd
  else
    refuse 'no container runtime was found (containerd, CRI-O, k3s, RKE2): name it with --runtime'
  fi
}

runtime_endpoint() {
  case $runtime in
    containerd) say unix:///run/containerd/containerd.sock ;;
    crio) say unix:///var/run/crio/crio.sock ;;
    k3s | rke2) say unix:///run/k3s/containerd/containerd.sock ;;
  esac
}

# Both write containerd's configuration themselves, at each start, and leave what they did not write in certs.d alone.
configure_runtime() {
  set -- runtime configure --root "${root:-/}" "$@"
  case $runtime in
    containerd) set -- "$@" --runtime containerd ;;
    crio) set -- "$@" --runtime crio ;;
    k3s | rke2)
      folder=/var/lib/rancher/$runtime/agent/etc/containerd
      set -- "$@" --runtime containerd --containerd-config "$folder/config.toml" --config-path "$folder/certs.d"
      ;;
  esac
  config=$root$etc/config.yaml
  [ ! -e "$config" ] || set -- "$@" --config "$config"
  shoal "$@"
}

apply_runtime() {
  remember runtime "$runtime"
  # The loopback secret is made there.
  make_folder "$(dirname "$(setting stateDir)")"
  [ "$runtime" != crio ] || make_folder /etc/containers/registries.conf.d
  configure_runtime | grep -v '^nothing to change$' || true
  [ "$runtime" != crio ] || ! with_systemd || systemctl reload crio.service || return 1
  # The pipe's code is grep's: ask again whether all is as it should be.
  configure_runtime --dry-run | grep -q '^nothing to change$'
}

undo_runtime() {
  [ -n "$(recall runtime)" ] || return 0
  [ "$runtime" != auto ] || runtime=$(recall runtime)
  configure_runtime --undo >/dev/null || return 1
  [ "$runtime" != crio ] || ! with_systemd || systemctl reload crio.service || return 1
  forget runtime
}
