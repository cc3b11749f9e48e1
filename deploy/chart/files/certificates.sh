#!/bin/sh
# Makes this member's certificate: `once`, or `keep` it and make a new one in time. What is there and serves is left alone.
# MEMBER: its name. ADDRESSES: with commas. DAYS, RENEW_BEFORE. Folders: AUTHORITY (ca.crt, ca.key), CERTIFICATES.
set -eu

AUTHORITY=${AUTHORITY:-/authority}
CERTIFICATES=${CERTIFICATES:-/certificates}
# Beside the files with the names that the configuration has, out of sight of who copies the folder.
issued=$CERTIFICATES/.issued

issue() {
  set --
  IFS=,
  for address in $ADDRESSES; do set -- "$@" --address "$address"; done
  unset IFS
  shoal certs issue --dir "$AUTHORITY" --out "$issued" --name "$MEMBER" --days "$DAYS" --renew-before "$RENEW_BEFORE" "$@" || return
  cmp -s "$AUTHORITY/ca.crt" "$CERTIFICATES/swarm-ca.crt" || {
    cp "$AUTHORITY/ca.crt" "$CERTIFICATES/swarm-ca.crt.new"
    mv "$CERTIFICATES/swarm-ca.crt.new" "$CERTIFICATES/swarm-ca.crt"
  }
  ln -sfn ".issued/$MEMBER.crt" "$CERTIFICATES/swarm.crt"
  ln -sfn ".issued/$MEMBER.key" "$CERTIFICATES/swarm.key"
}

umask 077
mkdir -p "$issued"
case ${1:-} in
  once) issue ;;
  keep)
    trap 'exit 0' TERM INT
    while :; do
      sleep "${EVERY:-3600}" &
      wait $!
      # The one that is there serves for days: the next look may succeed.
      issue >/dev/null || echo "certificates.sh: the certificate of $MEMBER could not be renewed" >&2
    done
    ;;
  *)
    echo "usage: certificates.sh once|keep" >&2
    exit 64
    ;;
esac
