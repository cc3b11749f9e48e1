#!/bin/sh
# The installer's pod on a node: `prepare` writes the files that only this node has, `run <folder>…` puts Shoal in place and keeps
# it so (or takes it away, when the pod's label says so), `ready` is the readiness probe.
# NODE_NAME, WANTED (installed or removed), INTERVAL, API_SERVER (by default the cluster's address as pods see it).
set -eu

FILES=${FILES:-/files}
CONFIG=${CONFIG:-/config}
HOST=${HOST:-/host}
# In the container: there when the node has been taken back.
LEFT=${LEFT:-/run/shoal-left}
BOOTSTRAP=${BOOTSTRAP:-/opt/shoal/current/bootstrap.sh}

prepare() {
  umask 077
  # Names of nodes are DNS names: nothing in them means anything to sed or YAML.
  sed "s/^  id: NODE-NAME\$/  id: \"$NODE_NAME\"/" "$CONFIG/config.yaml" >"$FILES/config.yaml"
  case $KUBERNETES_SERVICE_HOST in
    *:*) host="[$KUBERNETES_SERVICE_HOST]" ;;
    *) host=$KUBERNETES_SERVICE_HOST ;;
  esac
  cat >"$FILES/kubeconfig" <<END
apiVersion: v1
kind: Config
current-context: shoal
clusters:
  - name: cluster
    cluster:
      server: ${API_SERVER:-https://$host:$KUBERNETES_SERVICE_PORT}
      certificate-authority: kubernetes-ca.crt
users:
  - name: shoal
    user:
      tokenFile: kubernetes-token
contexts:
  - name: shoal
    context:
      cluster: cluster
      user: shoal
END
}

# refresh <folder>…: tokens, certificates and keys, to the node. The agent reads them anew by itself: they are no change for
# which bootstrap.sh should replace it.
refresh() {
  mkdir -p "$HOST/etc/shoal"
  for folder in "$@"; do
    for file in "$folder"/*; do
      there=$HOST/etc/shoal/${file##*/}
      if [ ! -f "$file" ] || cmp -s "$file" "$there"; then continue; fi
      (umask 077 && cp -L "$file" "$there.new")
      mv -f "$there.new" "$there"
    done
  done
}

run() {
  case $WANTED in
    installed)
      refresh "$@"
      # It ends with the process that this shell becomes.
      while sleep "$INTERVAL" && kill -0 $$ 2>/dev/null; do refresh "$@"; done &
      exec "$BOOTSTRAP" watch --host "$HOST" --interval "$INTERVAL" --files "$FILES"
      ;;
    removed)
      "$BOOTSTRAP" uninstall --host "$HOST"
      for folder in "$@"; do
        for file in "$folder"/*; do rm -f "$HOST/etc/shoal/${file##*/}"; done
      done
      [ ! -d "$HOST/etc/shoal" ] || rmdir --ignore-fail-on-non-empty "$HOST/etc/shoal"
      : >"$LEFT"
      exec sleep infinity
      ;;
  esac
}

# version <folder of versions>: the one that its link `current` means.
version() { basename "$(readlink "$1/current")"; }

# Cheap, for it runs often: bootstrap.sh status looks at much more. Another version than this pod's, or one that is just being
# put in place, is not ready: an upgrade that fails is to stop at the first nodes.
ready() {
  there=$HOST/opt/shoal
  case $WANTED in
    installed)
      [ -e "$there/current" ] && [ "$(version "$there")" = "$(version "${BOOTSTRAP%/*/*}")" ] &&
        [ ! -e "$there/state/unfinished" ] && [ ! -e "$there/state/before" ] &&
        nsenter --target 1 --mount -- systemctl is-active --quiet shoal.service
      ;;
    # The pod may go then: no key that it wrote is to be left.
    removed) [ ! -e "$there" ] && [ -e "$LEFT" ] ;;
  esac
}

case ${1:-} in
  prepare | ready) "$1" ;;
  run)
    shift
    run "$@"
    ;;
  *)
    echo "usage: node.sh prepare|run <folder>…|ready" >&2
    exit 64
    ;;
esac
