# shellcheck shell=sh disable=SC2154,SC2034
# Names, words and small steps that the other parts share. All paths are below $root.

home=/opt/shoal                # versions, `current`, and what bootstrap has to remember
state=$home/state
etc=/etc/shoal
units='shoal.socket shoal.service'

say() { printf '%s\n' "$*"; }
warn() { printf 'bootstrap: %s\n' "$*" >&2; }
# Nothing was changed.
refuse() {
  warn "$*"
  exit 3
}

package_version() { sed -n 's/^ *"version": "\([0-9A-Za-z.+-]*\)".*/\1/p' "$package/package.json"; }

current_version() {
  link=$(readlink "$root$home/current" 2>/dev/null) || return 0
  say "${link##*/}"
}

# Whether commands of the node may be run, and systemd is the one that runs it.
live() { [ -z "$root" ]; }
with_systemd() { live && [ -d /run/systemd/system ]; }

# The program of the package, with the node's configuration or that of SHOAL_CONFIG.
shoal() { "$package/bin/shoal" "$@"; }

# remember <name> <text>: one line about what was done, for status and uninstall.
remember() {
  mkdir -p "$root$state"
  printf '%s\n' "$2" >"$root$state/$1.new"
  mv -f "$root$state/$1.new" "$root$state/$1"
}
recall() { cat "$root$state/$1" 2>/dev/null || true; }
forget() { rm -f "$root$state/$1"; }

# make_folder <path> [mode]: and remember which folders were not there, so that uninstall can take them away.
make_folder() {
  [ -d "$root$1" ] && return 0
  make_folder "$(dirname "$1")"
  # Remembering a folder above may have made it.
  [ -d "$root$1" ] || mkdir -m "${2:-755}" "$root$1"
  case $1 in "$home" | "$state") return 0 ;; esac
  mkdir -p "$root$state"
  # One that was taken away since is remembered already.
  grep -qxF -e "$1" "$root$state/folders" 2>/dev/null || printf '%s\n' "$1" >>"$root$state/folders"
}

# remove_folders <what make_folder remembered>: those that are empty by now, the deepest first.
remove_folders() {
  printf '%s\n' "$1" | sort -ru | while IFS= read -r folder; do
    [ -z "$folder" ] || rmdir "$root$folder" 2>/dev/null || true
  done
}

# replace <file> <new text's file>: in one step, with the mode and owner of the former file.
replace() {
  if [ -e "$1" ]; then
    cp -p "$1" "$1.shoal-new"
    cat "$2" >"$1.shoal-new"
  else
    cp "$2" "$1.shoal-new"
    chmod 644 "$1.shoal-new"
  fi
  mv -f "$1.shoal-new" "$1"
}

scratch=''
make_scratch() {
  # In the subshell of a step the trap would take it from the steps that follow.
  [ -z "$scratch" ] || return 0
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
}
