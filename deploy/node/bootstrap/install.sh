# shellcheck shell=sh disable=SC2154,SC2034
# The order of things. The kubelet comes last when Shoal comes, and first when it goes.

# is_whole <package folder>: whether every file is as its list of sums has it. The watch asks that of the installed version twice a
# minute: its 109 MiB are read only when a file has changed since they were right, and once a day.
is_whole() {
  case $1 in
    "$host$home"/.staged/*) seen='' ;;
    "$host$home"/*) seen=$(files_of "$1") ;;
    *) seen='' ;;
  esac
  if [ -n "$root" ] || [ -z "$seen" ]; then
    has_right_sums "$1"
    return
  fi
  right=$host/run/shoal-bootstrap.right
  if [ "$seen" = "$(cat "$right" 2>/dev/null)" ] && [ -n "$(find "$right" -mtime 0)" ]; then return 0; fi
  has_right_sums "$1" || return 1
  if [ -z "$dry_run" ]; then
    { printf '%s\n' "$seen" >"$right.$$" && mv -f "$right.$$" "$right"; } 2>/dev/null || true
  fi
}
has_right_sums() { (cd "$1" 2>/dev/null && sha256sum --check --quiet --strict SHA256SUMS >/dev/null 2>&1); }
# Whoever writes to a file can set its other time back, but not that of its last change (%z). A container may have another time zone.
files_of() { (cd "$1" 2>/dev/null && find . -type f -exec env TZ=UTC0 stat -c '%n %s %y %z %i' {} + | sort) || true; }

# Checks, before anything is changed, that the package is whole and runs here.
check_package() {
  version=$(package_version)
  [ -n "$version" ] || refuse "$package is no package of Shoal"
  is_whole "$package" ||
    refuse "the package is damaged ($package/SHA256SUMS): fetch it again"
  shoal version >/dev/null 2>&1 ||
    refuse "this node can't run the package: it needs Linux on $(sed -n 's/^ *"arch": "\(.*\)",*/\1/p' "$package/package.json") with glibc 2.28 or later"
}

place_package() {
  target=$home/$version
  [ "$(readlink -f "$package")" != "$(readlink -f "$root$target")" ] || return 0
  if ! cmp -s "$package/SHA256SUMS" "$root$target/SHA256SUMS" || ! is_whole "$root$target"; then
    rm -rf "$root$target" "$root$target.new"
    cp -R "$package" "$root$target.new"
    chown -R 0:0 "$root$target.new"
    mv "$root$target.new" "$root$target"
  fi
}

point_current() {
  ln -sfn "$1" "$root$home/current.new"
  mv -fT "$root$home/current.new" "$root$home/current"
}

cli=/usr/local/bin/shoal
# The command for whoever looks after the node, unless something of its name is there.
link_command() {
  if [ -e "$root$cli" ] || [ -L "$root$cli" ]; then return 0; fi
  # /usr may be read-only: then the command is in /opt alone.
  { make_folder "$(dirname $cli)" && ln -s "$home/current/bin/shoal" "$root$cli"; } 2>/dev/null || true
}
unlink_command() { [ "$(readlink "$root$cli")" != "$home/current/bin/shoal" ] || rm -f "$root$cli"; }

install_node() {
  check_package
  detect_runtime
  gather_files
  check_config
  detect_kubelet
  check_kubelet
  former=$(current_version)
  if [ -n "$dry_run" ]; then
    plan
    return 0
  fi
  take_lock
  if [ -z "$former" ] || unfinished; then
    make_folder "$home"
    remember unfinished "$version"
    attempt first_install give_up_install
  elif [ "$former" != "$version" ] || files_differ || ! service_in_order; then
    attempt change_install give_up_change
    say "Shoal $version is in place (before: $former)"
    remove_versions "$version" "$(recall former)"
  else
    place_package
  fi
  attempt join_node give_up_join
  if [ -e "$root$state/unfinished" ]; then
    forget unfinished
    say "Shoal $version is installed"
  fi
  rm -rf "$root$state/before"
  release_lock
}

# attempt <step> <what to do when it fails>: the step has a shell of its own, which its first failure ends. Not with ||: to
# the left of that, a shell goes on after a failure, whatever set -e says.
attempt() {
  set +e
  (
    set -e
    "$1"
  )
  code=$?
  set -e
  if [ "$code" != 0 ]; then "$2"; fi
}

# A first installation that was cut off in the middle is begun anew.
unfinished() { [ -e "$root$state/unfinished" ]; }
take_lock() {
  live || return 0
  exec 9>/run/shoal-bootstrap.lock
  flock --nonblock 9 || refuse 'another bootstrap.sh is at work on this node'
}
release_lock() { rm -f "$root/run/shoal-bootstrap.lock"; }

first_install() {
  place_package
  write_files
  point_current "$version"
  link_command
  if has_units; then
    write_units "$package"
  else
    remember listen "$(setting listen)"
    remember folders-of-agent "$(setting stateDir) $(setting runDir)"
  fi
  start_service
}

change_install() {
  keep_files
  [ "$former" = "$version" ] || remember former "$former"
  place_package
  write_files
  point_current "$version"
  link_command
  if has_units; then write_units "$package"; fi
  replace_service "$root$home/$version"
  probe "$root$home/$version"
  engine_answers "$root$home/$version"
}

# The agent answers: only now do runtime and kubelet get to know of it.
join_node() {
  if live && ! with_systemd && ! "$package/bin/shoal" runtime probe --socket "$(recall listen)" --timeout 1 >/dev/null 2>&1; then
    apply_runtime
    return 0
  fi
  probe "$root$home/$version"
  engine_answers "$root$home/$version"
  apply_runtime
  apply_kubelet
}

give_up_install() {
  warn 'the installation failed: everything is put back, the node pulls as before'
  undo_all
  exit 1
}

# What was installed before stays; what this run began is undone.
give_up_join() {
  if unfinished; then give_up_install; fi
  warn 'Shoal is installed but could not be joined to runtime and kubelet: the kubelet is put back, the node pulls as before'
  undo_kubelet
  release_lock
  exit 1
}

give_up_change() {
  warn "version $version failed: back to $former"
  point_current "$former"
  restore_files
  files=''
  package=$root$home/$former
  gather_files
  effective_config || true
  if has_units; then
    write_units "$package"
    if ! replace_service "$package" || ! probe "$package"; then
      warn "version $former does not answer either: the node goes back to plain pulls"
      undo_all
      exit 1
    fi
  elif live; then
    replace_service "$package" || warn "the kubelet's calls are answered until then, by a bridge"
  fi
  remove_versions "$former" "$(recall former)"
  rm -rf "$root$state/before"
  release_lock
  exit 1
}

# remove_versions <kept>…: the current version and the one before it, to go back to.
remove_versions() {
  for folder in "$root$home"/*; do
    name=${folder##*/}
    if [ ! -d "$folder" ] || [ -L "$folder" ] || [ "$name" = state ]; then continue; fi
    keep=''
    for kept in "$@"; do [ "$name" != "$kept" ] || keep=1; done
    [ -n "$keep" ] || rm -rf "$folder"
  done
}

plan() {
  say "runtime: $runtime, its socket $(runtime_endpoint)"
  case $former in
    '') say "would install Shoal $version in $home/$version" ;;
    "$version") say "Shoal $version is installed" ;;
    *) say "would replace Shoal $former by $version" ;;
  esac
  for file in "$scratch/files"/*; do
    if [ -e "$file" ] && ! cmp -s "$file" "$root$etc/${file##*/}"; then say "would write $etc/${file##*/}"; fi
  done
  if has_units; then for unit in $units; do [ -e "$root$unit_folder/$unit" ] || say "would write $unit_folder/$unit"; done; fi
  configure_runtime --dry-run
  [ "$kubelet" = none ] || say "would set the kubelet's image endpoint to $(kubelet_endpoint) in $(kubelet_file)"
}

# tell <words> <what tells whether it is so>
tell() {
  words=$1
  shift
  if "$@" >/dev/null 2>&1; then
    say "ok    $words"
  else
    say "WRONG $words"
    code=1
  fi
}
installed_whole() { ! unfinished; }
config_right() { shoal config check --config "$root$etc/config.yaml"; }
runtime_right() { configure_runtime --dry-run | grep -q '^nothing to change$'; }
probe_briefly() { ! live || shoal runtime probe --socket "$(recall listen)" --timeout 10; }

engine_answers_now() { ! live || shoal pulls; }

status_node() {
  current=$(current_version)
  [ -n "$current" ] || { say 'not installed' && exit 2; }
  code=0
  package=$root$home/$current
  make_scratch
  gather_files 2>/dev/null
  effective_config 2>/dev/null || true
  detect_runtime
  detect_kubelet
  say "Shoal $current, runtime $runtime, kubelet by $kubelet"
  tell 'installation complete' installed_whole
  tell "configuration ($etc/config.yaml)" config_right
  tell "program ($home/$current)" is_whole "$package"
  ! has_units || tell 'units in order (shoal.socket, shoal.service)' service_in_order
  tell "ImageFsInfo on $(recall listen)" probe_briefly
  tell 'engine' engine_answers_now
  tell "the runtime's mirror configuration" runtime_right
  configure_runtime --dry-run 2>/dev/null | grep '^to do' || true
  tell "the kubelet's image endpoint ($kubelet)" kubelet_points_here
  exit "$code"
}

uninstall_node() {
  if [ -z "$(current_version)" ] && [ ! -d "$root$state" ]; then
    say 'not installed: nothing to do'
    return 0
  fi
  if [ -n "$dry_run" ]; then
    say "would take Shoal $(current_version) off this node: kubelet ($(recall kubelet)), runtime ($(recall runtime)), units, $home, $(recall folders-of-agent)"
    return 0
  fi
  take_lock
  undo_all || {
    warn 'not everything could be taken away: see above, then run this again'
    exit 1
  }
  say 'Shoal is gone'
}

# The kubelet first: it must not ask a socket that nobody serves.
undo_all() {
  # The program is needed to the end of this; the package may be the installed one.
  [ -d "$package/bin" ] || package=$root$home/$(current_version)
  undo_kubelet || return 1
  undo_runtime || return 1
  stop_service
  remove_units
  remove_agents_folders
  remove_files
  unlink_command
  folders=$(recall folders)
  rm -rf "$root${home:?}"
  rm -f "$root/run/shoal-bootstrap.right"
  remove_folders "$folders"
  release_lock
}

# stateDir and runDir: whole where they are Shoal's by name, else what the agent made in them.
remove_agents_folders() {
  for folder in $(recall folders-of-agent); do
    case $folder in
      */shoal | */shoal/*) rm -rf "$root${folder:?}" ;;
      /*) rm -rf "$root$folder/cache" "$root$folder/loopback-secret" "$root$folder/engine.sock" ;;
    esac
  done
}
