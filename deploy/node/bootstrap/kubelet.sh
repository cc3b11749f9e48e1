# shellcheck shell=sh disable=SC2154,SC2034
# Points the kubelet's image endpoint at Shoal's socket, and takes exactly that back. $state/kubelet has the way and the file.

marker='# shoal: this line and the next one go with bootstrap.sh uninstall'
kubelet_config=/var/lib/kubelet/config.yaml

# The environment file that kubeadm's unit reads: Debian's or Red Hat's.
environment_file() {
  for folder in /etc/default /etc/sysconfig; do
    [ ! -e "$root$folder/kubelet" ] || { say "$folder/kubelet" && return 0; }
  done
  if [ -d "$root/etc/sysconfig" ]; then say /etc/sysconfig/kubelet; else say /etc/default/kubelet; fi
}

# 1.27 and later know imageServiceEndpoint in the file; the flag is older.
kubelet_knows_key() {
  live || return 0
  minor=$(kubelet --version 2>/dev/null | sed -n 's/^Kubernetes v1\.\([0-9]*\).*/\1/p')
  [ "${minor:-27}" -ge 27 ]
}

detect_kubelet() {
  [ "$kubelet" = auto ] || return 0
  kubelet=$(recall kubelet | cut -d' ' -f1)
  [ -z "$kubelet" ] || return 0
  case $runtime in
    k3s | rke2) kubelet=$runtime ;;
    *)
      if [ -e "$root$kubelet_config" ] && kubelet_knows_key; then
        kubelet=config
      elif [ -e "$root$(environment_file)" ] || grep -rqs KUBELET_EXTRA_ARGS "$root/etc/systemd/system/kubelet.service.d" "$root/usr/lib/systemd/system/kubelet.service.d" "$root/lib/systemd/system/kubelet.service.d"; then
        kubelet=flag
      else
        refuse "the kubelet's configuration was not found ($kubelet_config, $(environment_file)): name the way with --kubelet, or --kubelet none"
      fi
      ;;
  esac
}

kubelet_file() {
  case $kubelet in
    config) say "$kubelet_config" ;;
    flag) environment_file ;;
    # Files of the drop-in folder are merged; a plus sign adds to a list of config.yaml instead of replacing it.
    k3s | rke2) say "/etc/rancher/$kubelet/config.yaml.d/90-shoal.yaml" ;;
  esac
}

kubelet_endpoint() { say "unix://$(setting listen)"; }

# Writes $scratch/kubelet: the file as it should be.
kubelet_text() {
  file=$1 endpoint=$2
  case $kubelet in
    config)
      if grep '^imageServiceEndpoint: *[^ "]' "$root$file" | grep -qvF "$endpoint"; then
        refuse "$file names another image service (imageServiceEndpoint): Shoal does not take its place"
      fi
      ! head -c 1 "$root$file" | grep -q '{' || refuse "$file is JSON: use --kubelet flag, or add \"imageServiceEndpoint\" yourself and use --kubelet none"
      without_marked "$root$file" >"$scratch/kubelet"
      # A last line without its newline would swallow ours; uninstall gives it back as it was.
      [ -z "$(tail -c 1 "$scratch/kubelet")" ] || say '' >>"$scratch/kubelet"
      printf '%s\nimageServiceEndpoint: %s\n' "$marker" "$endpoint" >>"$scratch/kubelet"
      ;;
    flag)
      [ ! -e "$root$file" ] || cp "$root$file" "$scratch/former"
      [ -e "$scratch/former" ] || : >"$scratch/former"
      if without_flag "$scratch/former" | grep -q -- --image-service-endpoint; then
        refuse "$file names another image service (--image-service-endpoint): Shoal does not take its place"
      fi
      with_flag "$scratch/former" "--image-service-endpoint=$endpoint" >"$scratch/kubelet"
      ;;
    k3s | rke2)
      printf 'kubelet-arg+:\n  - image-service-endpoint=%s\n' "$endpoint" >"$scratch/kubelet"
      ;;
  esac
}

# The file without the marker and the line behind it.
without_marked() {
  awk -v marker="$marker" '$0 == marker { skip = 2 } skip > 0 { skip--; next } { print }' "$1"
}

# The flag goes to the end of KUBELET_EXTRA_ARGS, within its quotes.
with_flag() {
  without_flag "$1" | awk -v flag="$2" '
    /^KUBELET_EXTRA_ARGS=/ && !done {
      done = 1
      value = substr($0, index($0, "=") + 1)
      quote = substr(value, 1, 1)
      if (quote != "\"" && quote != "\x27") { quote = "\""; value = quote value quote }
      body = substr(value, 2, length(value) - 2)
      print "KUBELET_EXTRA_ARGS=" quote body (body == "" ? "" : " ") flag quote
      next
    }
    { print }
    END { if (!done) print "KUBELET_EXTRA_ARGS=" flag }'
}
without_flag() {
  endpoint_of_ours=$(recall kubelet | cut -d' ' -f3)
  [ -n "$endpoint_of_ours" ] || { cat "$1" && return 0; }
  sed "s| \{0,1\}--image-service-endpoint=$endpoint_of_ours||" "$1"
}

# Refuses, before anything is changed, what apply_kubelet could not do.
check_kubelet() {
  [ "$kubelet" != none ] || return 0
  file=$(kubelet_file)
  [ "$kubelet" != config ] || [ -e "$root$file" ] || refuse "$file does not exist: has this node joined its cluster?"
  kubelet_text "$file" "$(kubelet_endpoint)"
}

# Points the kubelet at the socket, restarts it for that and sees that it lives. Fails with everything to be undone.
apply_kubelet() {
  [ "$kubelet" != none ] || return 0
  file=$(kubelet_file) endpoint=$(kubelet_endpoint)
  kubelet_text "$file" "$endpoint"
  if cmp -s "$scratch/kubelet" "$root$file" && [ -n "$(recall kubelet)" ]; then return 0; fi
  [ -n "$(recall kubelet)" ] || keep_kubelet "$file"
  make_folder "$(dirname "$file")"
  replace "$root$file" "$scratch/kubelet"
  remember kubelet "$kubelet $file $endpoint"
  say "the kubelet's image endpoint is $endpoint ($file)"
  restart_kubelet
}

# The file as it was: given back as it is when nobody changed it since.
keep_kubelet() {
  mkdir -p "$root$state"
  rm -f "$root$state/kubelet-file" "$root$state/kubelet-sum"
  [ ! -e "$root$1" ] || cp -p "$root$1" "$root$state/kubelet-file"
}

undo_kubelet() {
  [ -n "$(recall kubelet)" ] || return 0
  make_scratch
  kubelet=$(recall kubelet | cut -d' ' -f1)
  file=$(recall kubelet | cut -d' ' -f2)
  endpoint=$(recall kubelet | cut -d' ' -f3)
  if [ -e "$root$file" ]; then
    if [ -e "$root$state/kubelet-file" ]; then
      cp "$root$state/kubelet-file" "$scratch/former"
    else
      : >"$scratch/former"
    fi
    case $kubelet in
      config) without_marked "$root$file" >"$scratch/undone" && without_marked "$scratch/former" >"$scratch/theirs" ;;
      flag) without_flag "$root$file" >"$scratch/undone" && with_flag "$scratch/former" "--image-service-endpoint=$endpoint" >"$scratch/theirs" ;;
      *) : >"$scratch/undone" && : >"$scratch/theirs" ;;
    esac
    # Nobody changed anything but us: the very bytes that were there.
    if [ "$kubelet" = flag ] && cmp -s "$scratch/theirs" "$root$file"; then cp "$scratch/former" "$scratch/undone"; fi
    if [ "$kubelet" = config ] && cmp -s "$scratch/theirs" "$scratch/undone"; then cp "$scratch/former" "$scratch/undone"; fi
    if [ -e "$root$state/kubelet-file" ] || [ -s "$scratch/undone" ]; then
      replace "$root$file" "$scratch/undone"
    else
      rm -f "$root$file"
    fi
  fi
  forget kubelet
  forget kubelet-file
  restart_kubelet
}

kubelet_unit() {
  case $kubelet in
    k3s | rke2)
      for unit in "$kubelet-agent" "$kubelet-server" "$kubelet"; do
        systemctl --quiet is-active "$unit.service" && say "$unit.service" && return 0
      done
      ;;
    *) systemctl --quiet is-active kubelet.service && say kubelet.service && return 0 ;;
  esac
  # One that does not run yet needs no restart: it will read its file.
  return 0
}

# Restarts the kubelet where it runs, and waits until it has lived through its start, which asks the image endpoint.
restart_kubelet() {
  with_systemd || return 0
  unit=$(kubelet_unit)
  [ -n "$unit" ] || return 0
  systemctl restart "$unit" || return 1
  restarts=$(systemctl show --property=NRestarts --value "$unit")
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    sleep 1
    systemctl --quiet is-active "$unit" || return 1
  done
  [ "$(systemctl show --property=NRestarts --value "$unit")" = "$restarts" ]
}

kubelet_points_here() {
  [ "$kubelet" != none ] || return 0
  file=$(recall kubelet | cut -d' ' -f2)
  endpoint=$(recall kubelet | cut -d' ' -f3)
  [ -n "$endpoint" ] || return 1
  grep -qsF -e "image-service-endpoint=$endpoint" -e "imageServiceEndpoint: $endpoint" "$root$file"
}
