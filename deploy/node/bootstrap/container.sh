# shellcheck shell=sh disable=SC2154
# From a container: the package and the files are copied to the node, then the node's own root goes on with them.

in_host() {
  [ -d "$host/etc" ] || refuse "$host is not a node's root folder: mount the node's / there"
  command -v nsenter >/dev/null || refuse 'nsenter is missing'
  nsenter --target 1 --mount -- test -d /run/systemd/system ||
    refuse 'the node does not run systemd (or the pod lacks hostPID or privileged): what a pod starts ends with the pod'
  if [ "$1" != install ] && [ "$1" != upgrade ] && [ ! -e "$host$home/current" ] && [ ! -d "$host$state" ]; then
    if [ "$1" = status ]; then say 'not installed' && exit 2; fi
    say 'not installed: nothing to do' && exit 0
  fi
  staged=$home/.staged
  rm -rf "$host$staged"
  existed=''
  [ -d "$host$home" ] && existed=1
  mkdir -p "$host$staged/files"
  version=$(package_version)
  # A node that has this version needs no second copy of it.
  if cmp -s "$package/SHA256SUMS" "$host$home/$version/SHA256SUMS" && is_whole "$host$home/$version"; then
    bootstrap=$home/$version/bootstrap.sh
  else
    mkdir "$host$staged/package"
    cp -R "$package/." "$host$staged/package"
    bootstrap=$staged/package/bootstrap.sh
  fi
  copy_files "$host$staged/files"
  set -- "$1" --runtime "$runtime" --kubelet "$kubelet"
  [ -z "$(ls -A "$host$staged/files")" ] || set -- "$@" --files "$staged/files"
  [ -z "$purge" ] || set -- "$@" --purge
  [ -z "$dry_run" ] || set -- "$@" --dry-run
  code=0
  nsenter --target 1 --mount --uts --ipc --net --pid -- /bin/sh "$bootstrap" "$@" || code=$?
  rm -rf "$host$staged"
  [ -n "$existed" ] || rmdir "$host$home" 2>/dev/null || true
  return "$code"
}

# copy_files <folder>: the plain files of every --files; links are followed, dotted names are Kubernetes' own.
copy_files() {
  printf '%s' "$files" | while IFS= read -r folder; do
    [ -d "$folder" ] || refuse "--files $folder: there is no such folder"
    for file in "$folder"/*; do
      if [ -f "$file" ]; then cp -L "$file" "$1/"; fi
    done
  done
}

# install, again and again: mends what was taken away, takes what has changed. A failure is put back and tried again.
watch_node() {
  trap 'exit 0' TERM INT
  [ -z "$host" ] || set -- --host "$host"
  set -- "$@" --runtime "$runtime" --kubelet "$kubelet"
  while IFS= read -r folder; do
    [ -z "$folder" ] || set -- "$@" --files "$folder"
  done <<TEXT
$files
TEXT
  last=''
  while :; do
    said=$(/bin/sh "$package/bootstrap.sh" install "$@" 2>&1) && code=0 || code=$?
    # The same words again say nothing new.
    [ "$said" = "$last" ] || say "$said"
    last=$said
    [ "$code" -ne 64 ] || exit 64
    # In the background: a signal is to end the wait.
    sleep "$interval" &
    wait $! || true
  done
}
