# shellcheck shell=sh disable=SC2154
# What lies in /etc/shoal. $state/files has "<sha256>  <name>" of each file that bootstrap wrote: one that differs from its
# line belongs to an administrator and is kept.

sum_of() { sha256sum <"$1" | cut -d' ' -f1; }
written_sum() { sed -n "s/^\([0-9a-f]*\)  $1\$/\1/p" "$root$state/files" 2>/dev/null || true; }

# Whether <name> in /etc/shoal is an administrator's.
is_administrators() {
  [ -e "$root$etc/$1" ] && [ "$(sum_of "$root$etc/$1")" != "$(written_sum "$1")" ]
}

# Gathers what belongs into /etc/shoal in $scratch/etc, as it will be: also what is kept.
gather_files() {
  make_scratch
  mkdir -p "$scratch/files" "$scratch/etc"
  copy_files "$scratch/files"
  # Something has to be there for an administrator to find; it changes nothing.
  [ -e "$scratch/files/config.yaml" ] || [ -e "$root$etc/config.yaml" ] ||
    printf '# Shoal on this node. "shoal config print" shows every key and what holds.\n{}\n' >"$scratch/files/config.yaml"
  for file in "$root$etc"/* "$scratch/files"/*; do
    if [ -f "$file" ]; then cp "$file" "$scratch/etc/"; fi
  done
  for file in "$scratch/files"/*; do
    [ -e "$file" ] || continue
    name=${file##*/}
    if ! is_administrators "$name" || cmp -s "$file" "$root$etc/$name"; then continue; fi
    cp "$root$etc/$name" "$scratch/etc/$name"
    rm "$file"
    warn "$etc/$name was changed on this node and is kept: remove it to have it written anew"
  done
}

# Exits with 78 where the configuration would be wrong; nothing was changed yet.
check_config() {
  effective_config || exit 78
}

# Also says what is wrong.
effective_config() {
  SHOAL_CONFIG="$scratch/etc/config.yaml" shoal config print >"$scratch/effective"
}

# setting <key's last part>: its effective value, by the files as they will be.
setting() {
  sed -n "s/^ *$1: \([^ ]*\) #.*/\1/p" "$scratch/effective" | tr -d \'\" | head -n 1
}
is_default() { grep -q "^ *$1: .* # default\$" "$scratch/effective"; }

files_differ() {
  for file in "$scratch/files"/*; do
    [ -e "$file" ] || continue
    cmp -s "$file" "$root$etc/${file##*/}" || return 0
  done
  return 1
}

write_files() {
  make_folder "$etc"
  for file in "$scratch/files"/*; do
    [ -e "$file" ] || continue
    name=${file##*/}
    (umask 077 && cp "$file" "$root$etc/.$name.new")
    mv -f "$root$etc/.$name.new" "$root$etc/$name"
    { grep -v "  $name\$" "$root$state/files" 2>/dev/null || true
      printf '%s  %s\n' "$(sum_of "$file")" "$name"; } >"$root$state/files.new"
    mv -f "$root$state/files.new" "$root$state/files"
  done
}

# The files as they were, for when the new ones don't do.
keep_files() {
  rm -rf "$root$state/before"
  mkdir -p "$root$state/before"
  [ ! -d "$root$etc" ] || cp -Rp "$root$etc" "$root$state/before/etc"
  for name in files former; do
    [ ! -e "$root$state/$name" ] || cp -p "$root$state/$name" "$root$state/before/$name"
  done
}
restore_files() {
  [ -d "$root$state/before" ] || return 0
  rm -rf "$root$etc"
  [ ! -d "$root$state/before/etc" ] || cp -Rp "$root$state/before/etc" "$root$etc"
  for name in files former; do
    rm -f "$root$state/$name"
    [ ! -e "$root$state/before/$name" ] || cp -p "$root$state/before/$name" "$root$state/$name"
  done
}

remove_files() {
  [ -d "$root$etc" ] || return 0
  if [ -n "$purge" ]; then
    rm -rf "$root$etc"
    return 0
  fi
  for file in "$root$etc"/*; do
    [ -f "$file" ] || continue
    name=${file##*/}
    if is_administrators "$name"; then say "kept: $etc/$name (an administrator's)"; else rm -f "$file"; fi
  done
}
