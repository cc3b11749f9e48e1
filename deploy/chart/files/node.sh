#!/bin/sh
# The installer's pod on a node: `prepare` writes the files that only this node has, `run` puts Shoal in place and keeps it so
# (or takes it away, when the pod's label says so), `ready` is the readiness probe.
# NODE_NAME, WANTED (installed or removed), INTERVAL, API_SERVER (by default the cluster's address as pods see it).
set -eu

FILES=${FILES:-/files}
CONFIG=${CONFIG:-/config}
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

run() {
  case $WANTED in
    installed)
      shift
      exec "$BOOTSTRAP" watch --host /host --interval "$INTERVAL" "$@"
      ;;
    removed)
      "$BOOTSTRAP" uninstall --host /host
      exec sleep infinity
      ;;
  esac
}

# 2: not installed.
ready() {
  status=0
  "$BOOTSTRAP" status --host /host >/dev/null || status=$?
  case $WANTED in
    installed) [ $status -eq 0 ] ;;
    removed) [ $status -eq 2 ] ;;
  esac
}

case ${1:-} in
  prepare | ready) "$1" ;;
  run) run "$@" ;;
  *)
    echo "usage: node.sh prepare|run|ready" >&2
    exit 64
    ;;
esac
