/** These write outside of the root, or need a host that is set up for them. */
const disabledPlugins = [
  'io.containerd.internal.v1.opt',
  'io.containerd.internal.v1.tracing',
  'io.containerd.nri.v1.nri',
  'io.containerd.snapshotter.v1.aufs',
  'io.containerd.snapshotter.v1.blockfile',
  'io.containerd.snapshotter.v1.btrfs',
  'io.containerd.snapshotter.v1.devmapper',
  'io.containerd.snapshotter.v1.erofs',
  'io.containerd.snapshotter.v1.zfs',
  'io.containerd.tracing.processor.v1.otlp',
];

const neverCollects = `[plugins."io.containerd.gc.v1.scheduler"]
  mutation_threshold = 0
  startup_delay = "1h"
`;

/**
 * The smallest configuration that pulls: nothing on the machine is shared with another containerd. Version 2 of the
 * format is containerd 1.x', version 3 that of 2.x, which split the CRI plugin.
 */
export function containerdConfig(major: number, folder: string, collectsByItself: boolean): string {
  const common = `
root = "${folder}/root"
state = "${folder}/state"
disabled_plugins = ${JSON.stringify(disabledPlugins)}
[grpc]
  address = "${folder}/containerd.sock"
[ttrpc]
  address = "${folder}/ttrpc.sock"
${collectsByItself ? '' : neverCollects}`;
  if (major < 2) {
    return `version = 2${common}
[plugins."io.containerd.grpc.v1.cri"]
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${folder}/cni"
    conf_dir = "${folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "${folder}/certs.d"
`;
  }
  return `version = 3${common}
[plugins."io.containerd.grpc.v1.cri"]
  stream_server_port = "0"
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  [plugins."io.containerd.cri.v1.images".registry]
    config_path = "${folder}/certs.d"
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dir = "${folder}/cni"
  conf_dir = "${folder}/cni"
`;
}
