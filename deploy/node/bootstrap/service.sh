# shellcheck shell=sh disable=SC2154
# The agent as a service. Without systemd the units are not written: the node's own init starts the agent, and starts it again
# whenever it ends.

unit_folder=/etc/systemd/system

# What `systemctl enable` makes.
wants='sockets.target.wants/shoal.socket multi-user.target.wants/shoal.service'

# Whether this system has units: those of a node without systemd are another init's.
has_units() { with_systemd || ! live; }

# render_units <package folder>: to $scratch/units the units, and in a drop-in what this node's configuration wants of them.
render_units() {
  rm -rf "$scratch/units"
  mkdir -p "$scratch/units/shoal.service.d"
  for unit in $units; do cp "$1/systemd/$unit" "$scratch/units/$unit"; done
  listen=$(setting listen) state_dir=$(setting stateDir) run_dir=$(setting runDir)
  memory=$(setting optionBlockSize)
  {
    say '# Written by bootstrap.sh from /etc/shoal/config.yaml.'
    say '[Service]'
    ! is_default runtimeEndpoint || say "Environment=SHOAL_RUNTIME_ENDPOINT=$(runtime_endpoint)"
    # The memory tier, and 2 GiB for what is on its way and for the program.
    say "MemoryMax=$((memory + 2147483648))"
    [ "$state_dir" = /var/lib/shoal ] || say "ReadWritePaths=-$state_dir"
    [ "$run_dir" = /run/shoal ] || say "ReadWritePaths=-$run_dir"
    # Up to 245 systemd loses the words of a process that has ended by the time it looks: READY=1, WATCHDOG=1.
    [ "$(systemd_version)" -ge 246 ] || printf 'Type=simple\nWatchdogSec=0\n'
  } >"$scratch/units/shoal.service.d/node.conf"
  if [ "$listen" != /run/shoal/shoal.sock ]; then
    mkdir "$scratch/units/shoal.socket.d"
    printf '[Socket]\nListenStream=\nListenStream=%s\n' "$listen" >"$scratch/units/shoal.socket.d/node.conf"
  fi
}

# write_units <package folder>
write_units() {
  render_units "$1"
  for unit in $units; do
    [ ! -d "$scratch/units/$unit.d" ] || make_folder "$unit_folder/$unit.d"
    rm -f "$root$unit_folder/$unit.d/node.conf"
  done
  for unit in $(unit_files); do replace "$root$unit_folder/$unit" "$scratch/units/$unit"; done
  remember listen "$listen"
  remember folders-of-agent "$state_dir $run_dir"
}
unit_files() { (cd "$scratch/units" && find ./* -type f); }

# Whether the units are as this version and configuration want them, come up with the node, and run.
service_in_order() {
  has_units || return 0
  render_units "$package"
  for unit in $(unit_files); do
    cmp -s "$scratch/units/$unit" "$root$unit_folder/$unit" || return 1
  done
  [ -d "$scratch/units/shoal.socket.d" ] || [ ! -e "$root$unit_folder/shoal.socket.d/node.conf" ] || return 1
  for link in $wants; do [ -L "$root$unit_folder/$link" ] || return 1; done
  live || return 0
  # With several units is-active is content with one.
  for unit in $units; do systemctl --quiet is-active "$unit" || return 1; done
}

systemd_version() {
  with_systemd || { say 999 && return 0; }
  systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p'
}

# Starts the agent for the first time.
start_service() {
  if with_systemd; then
    systemctl daemon-reload
    systemctl --quiet enable shoal.socket shoal.service
    systemctl start shoal.socket
    systemctl start shoal.service
  elif live; then
    say "to do: this node does not run systemd. Have its init run $home/current/bin/shoal agent before the kubelet, then run this again"
  else
    enable_below_root
  fi
}

# As `systemctl enable` does, in a system that does not run.
enable_below_root() {
  make_folder $unit_folder/sockets.target.wants
  make_folder $unit_folder/multi-user.target.wants
  ln -sf $unit_folder/shoal.socket "$root$unit_folder/sockets.target.wants/shoal.socket"
  ln -sf $unit_folder/shoal.service "$root$unit_folder/multi-user.target.wants/shoal.service"
}

# replace_service <package folder>: puts the agent that `current` means in the place of the one that runs. Meanwhile a bridge of
# <package folder> answers on the same socket: no call is refused, none waits, and pulls in flight may end.
replace_service() {
  if with_systemd; then
    systemctl daemon-reload
    systemctl --quiet enable shoal.socket shoal.service
    systemctl start shoal.socket
    mkdir -p /run/systemd/system
    sed -e "s|^ExecStart=.*|Sockets=shoal.socket\\nExecStart=$1/bin/shoal agent --bridge|" "$1/systemd/shoal.service" \
      >/run/systemd/system/shoal-bridge.service
    mkdir -p /run/systemd/system/shoal-bridge.service.d
    cp $unit_folder/shoal.service.d/node.conf /run/systemd/system/shoal-bridge.service.d/
    systemctl daemon-reload
    code=0
    { systemctl start shoal-bridge.service && systemctl restart shoal.service; } || code=1
    # Quiet: else it says that the socket could start it again.
    systemctl --quiet stop shoal-bridge.service || code=1
    rm -rf /run/systemd/system/shoal-bridge.service /run/systemd/system/shoal-bridge.service.d
    systemctl daemon-reload
    return "$code"
  elif ! live; then
    enable_below_root
  else
    replace_under_init "$1"
  fi
}

# agents [bridge]: the process ids of the agents that run on this node without systemd, or of the bridges.
agents() {
  here=$(stat -Lc %d:%i /proc/self/root)
  for process in /proc/[0-9]*; do
    case $(readlink "$process/exe" 2>/dev/null) in "$home"/*) ;; *) continue ;; esac
    # Not one of a container.
    [ "$(stat -Lc %d:%i "$process/root" 2>/dev/null)" = "$here" ] || continue
    case "$(tr '\0' ' ' <"$process/cmdline" 2>/dev/null)$*" in
      *'/dist/main.js agent --bridge '*bridge) say "${process#/proc/}" ;;
      *'/dist/main.js agent --bridge '*) ;;
      *bridge) ;;
      *'/dist/main.js agent '*) say "${process#/proc/}" ;;
    esac
  done
}

# Whether there is an agent to answer: without systemd its start is somebody else's.
has_agent() { with_systemd || [ -n "$(agents)" ]; }

# replace_under_init <package folder>: the bridge takes the agent's place on the socket, and the agent that the node's init starts
# next takes the bridge's. Until one does, the bridge stays.
replace_under_init() {
  old=$(agents) listen=$(recall listen)
  if [ -z "$old" ] && [ ! -e "$listen.bridge" ]; then
    say "to do: have this node's init start the agent ($home/current/bin/shoal agent)"
    return 0
  fi
  if [ ! -e "$listen.bridge" ]; then start_bridge "$1" "${old%%[!0-9]*}" || return 1; fi
  for agent in $old; do end_agent "$agent"; done
  for _ in $(seq 150); do
    if [ ! -e "$listen.bridge" ]; then
      # It was told to end; its program is not to be removed under it.
      for bridge in $(agents bridge); do await_end "$bridge"; done
      return 0
    fi
    sleep 0.2
  done
  warn "no agent has come for 30 s: is it an init that runs $home/current/bin/shoal agent, and starts it again when it ends?"
  return 1
}

# start_bridge <package folder> <agent>: with the environment of that agent, which its init may have given it. It outlives this
# script, and has to let go of its lock.
start_bridge() {
  # shellcheck disable=SC2094
  xargs -0 sh -c 'exec env -i "$@" setsid "$0" agent --bridge' "$1/bin/shoal" \
    <"/proc/$2/environ" >"$scratch/bridge" 2>&1 9>&- &
  for _ in $(seq 300); do
    [ ! -e "$listen.bridge" ] || return 0
    kill -0 $! 2>/dev/null || break
    sleep 0.1
  done
  kill $! 2>/dev/null || true
  cat "$scratch/bridge" >&2
  warn "the bridge of $1 does not start: the agent that runs stays"
  return 1
}

end_agent() {
  kill "$1" 2>/dev/null || return 0
  await_end "$1"
}

# await_end <process id>: calls in flight may take 60 s to end.
await_end() {
  for _ in $(seq 400); do
    kill -0 "$1" 2>/dev/null || return 0
    sleep 0.2
  done
  kill -9 "$1" 2>/dev/null || true
}

# probe <package folder>: a real ImageFsInfo over the socket, through the agent, from the runtime.
probe() {
  live && has_agent || return 0
  "$1/bin/shoal" runtime probe --socket "$(recall listen)" --timeout 60 >/dev/null
}

# engine_answers <package folder>: without an engine the agent passes calls on, but accelerates none.
engine_answers() {
  live && has_agent || return 0
  # By the clock: on a busy node each question takes a second, and a version that fails is to be taken back soon.
  deadline=$(($(date +%s) + 30))
  while [ "$(date +%s)" -lt "$deadline" ]; do
    ! "$1/bin/shoal" pulls >/dev/null 2>&1 || return 0
    sleep 0.5
  done
  warn "the engine does not answer: the agent's log says why (journalctl --unit shoal)"
  return 1
}

stop_service() {
  if with_systemd; then
    # At once: a call must not start the agent again.
    systemctl stop shoal.socket shoal.service shoal-bridge.service 2>/dev/null || true
    systemctl --quiet disable shoal.socket shoal.service 2>/dev/null || true
    systemctl reset-failed shoal.service 2>/dev/null || true
  elif live; then
    for bridge in $(agents bridge); do kill "$bridge" 2>/dev/null || true; done
  fi
}

remove_units() {
  for link in $wants; do
    rm -f "$root$unit_folder/$link"
  done
  for unit in $units; do
    rm -f "$root$unit_folder/$unit" "$root$unit_folder/$unit.d/node.conf"
    # An administrator may have put a drop-in of his own there.
    [ ! -d "$root$unit_folder/$unit.d" ] || rmdir "$root$unit_folder/$unit.d" 2>/dev/null || true
  done
  ! with_systemd || systemctl daemon-reload
}
