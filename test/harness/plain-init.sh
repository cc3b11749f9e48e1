#!/bin/sh
# Process 1 of a node without systemd: runs containerd with the configuration $1 and, once Shoal is installed, the agent, and starts
# it again whenever it ends, a second later, as small inits do.
printf '%s' "$1" >/etc/containerd/config.toml
containerd >/var/log/containerd.log 2>&1 &
while :; do
  if [ -x /opt/shoal/current/bin/shoal ]; then /opt/shoal/current/bin/shoal agent; fi
  sleep 1
done
