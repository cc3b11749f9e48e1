import { Argument, Command, Option } from 'commander';
import { runtimes } from '../runtime/types.ts';
import type { CacheCommand } from './cache.ts';
import { collect, withConfigOptions } from './config-options.ts';
import { outputOption } from './output.ts';
import { shells } from './shells.ts';

/**
 * The `shoal` command. Each command's code is loaded when it runs: the supervisor stays on every node all the time and
 * should hold no more than it needs.
 */
export function createProgram(): Command {
  const program = new Command('shoal')
    .description('Makes container images arrive faster on Kubernetes nodes')
    .showHelpAfterError('(--help lists the options)')
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'shoal: ')) })
    .exitOverride();
  addAgent(program);
  addPull(program);
  addViews(program);
  addPreheat(program);
  addExplain(program);
  addConfig(program);
  addRuntime(program);
  addCache(program);
  addDoctor(program);
  addCerts(program);
  addNodes(program);
  program
    .command('version')
    .description('print the version')
    .addOption(outputOption())
    .action(async (options) => (await import('./version.ts')).printVersion(options));
  addShellHelp(program);
  return program;
}

function addAgent(program: Command): void {
  withConfigOptions(program.command('agent'))
    .description("serve the image service to the kubelet, in front of the runtime's")
    .option('--listen <path>', 'short for --set listen=<path>')
    .option('--runtime-endpoint <url>', 'short for --set runtimeEndpoint=<url>')
    .option('--log-level <level>', 'short for --set log.level=<level>')
    .option('--bridge', 'stand in on the socket while the agent is replaced; bootstrap.sh starts it')
    .action(async (options) => (await import('./agent.ts')).agent(options));
  withConfigOptions(program.command('mirror'))
    .description('keep a cache for the cluster that fetches from registries for other nodes (plus mode)')
    .action(async (options) => (await import('./role.ts')).role('mirror', options));
  withConfigOptions(program.command('scheduler'))
    .description("host the swarm's directory, so that agents need not")
    .action(async (options) => (await import('./role.ts')).role('scheduler', options));
  withConfigOptions(program.command('engine', { hidden: true }))
    .description('the part of the agent that moves bytes; the agent starts it')
    .option('--config-fd <number>', 'read the effective configuration from this descriptor', Number)
    .action(async (options) => (await import('./engine.ts')).engine(options));
}

function addPull(program: Command): void {
  withConfigOptions(program.command('pull'))
    .description('pull an image through the running agent: into its cache, or into an OCI layout')
    .argument('<image>', 'as in a pod')
    .option('--layout <folder>', 'write the image there, as an OCI image layout')
    .addOption(outputOption())
    .action(async (image, options) => (await import('./pull/pull.ts')).pull(image, options));
}

function addViews(program: Command): void {
  withConfigOptions(program.command('status'))
    .description('show how this node fares; exits with 1 when pulls are not accelerated')
    .addOption(outputOption())
    .action(async (options) => (await import('./status.ts')).status(options));
  const pulls = program.command('pulls').description('the pulls of this node, under way and recent ones');
  withConfigOptions(pulls.command('list', { isDefault: true }))
    .description('list them, the newest first; the command for `shoal pulls` alone')
    .option('--watch', 'follow them until interrupted: bars on a terminal, else lines')
    .addOption(outputOption())
    .action(async (options) => (await import('./pulls.ts')).listPulls(options));
  withConfigOptions(pulls.command('explain'))
    .description('show where the time and the bytes of one pull came from')
    .argument('<id>', 'its number in `shoal pulls`')
    .option('--svg <file>', 'write the waterfall as a picture, too')
    .addOption(outputOption())
    .action(async (id, options) => (await import('./pulls.ts')).explainPull(id, options));
  withConfigOptions(program.command('peers'))
    .description('list the nodes that this one knows, and the bytes that went to and fro')
    .addOption(outputOption())
    .action(async (options) => (await import('./peers.ts')).peers(options));
}

/** Commands about the command: their result is a text in a format of its own. */
function addShellHelp(program: Command): void {
  program
    .command('completion')
    .description("print a shell's completion script")
    .addArgument(new Argument('<shell>', 'which one').choices(shells))
    .action(async (shell) => {
      const { completionScript } = await import('./completion.ts');
      process.stdout.write(completionScript(program, shell));
    });
  program
    .command('man')
    .description('print the man page')
    .action(async () => {
      const { manPage } = await import('./man-page.ts');
      const { packageVersion } = await import('../paths.ts');
      process.stdout.write(manPage(program, packageVersion()));
    });
}

function addPreheat(program: Command): void {
  withConfigOptions(program.command('preheat'))
    .description('bring an image into the caches of some nodes before pods ask for it')
    .argument('<image>', 'as in a pod')
    .option('--nodes <number>', 'how many nodes, spread over the zones', '3')
    .addOption(outputOption())
    .action(async (image, options) => (await import('./preheat.ts')).preheat(image, options));
}

function addExplain(program: Command): void {
  withConfigOptions(program.command('explain'))
    .description('say whether a pull would be accelerated, and why')
    .argument('<image>', 'as in a pod')
    .option('--namespace <name>', "the pod's namespace", 'default')
    .option('--label <key=value>', 'a label of the pod; repeat for more', collect)
    .addOption(outputOption())
    .action(async (image, options) => (await import('./explain.ts')).explain(image, options));
}

function addConfig(program: Command): void {
  const config = program.command('config').description('check and show the configuration');
  withConfigOptions(config.command('check'))
    .description('say what is wrong with the configuration; exits with 78 when something is')
    .addOption(outputOption())
    .action(async (options) => (await import('./config.ts')).check(options));
  withConfigOptions(config.command('print'))
    .description('print the effective configuration and where each value comes from')
    .addOption(outputOption())
    .action(async (options) => (await import('./config.ts')).printEffective(options));
  config
    .command('schema')
    .description('print the JSON schema of the configuration file')
    .action(async () => (await import('./config.ts')).printSchema());
}

function addRuntime(program: Command): void {
  const runtime = program.command('runtime').description("the container runtime's configuration");
  withConfigOptions(runtime.command('configure'))
    .description("make the runtime ask Shoal's mirror first; changes nothing that an administrator wrote")
    .addOption(new Option('--runtime <name>', 'whose configuration').choices(runtimes).makeOptionMandatory())
    .option('--undo', 'take exactly that back')
    .option('--dry-run', 'print the changes as a diff, make none')
    .option('--root <folder>', "the system's root folder", '/')
    .option(
      '--config-path <folder>',
      "containerd: where its hosts.toml files are (default: what containerd's configuration says)",
    )
    .option('--containerd-config <file>', 'containerd: its configuration file', '/etc/containerd/config.toml')
    .option('--registry <host>', 'crio, podman: a registry to accelerate; repeat for more', collect)
    .addOption(outputOption())
    .action(async (options) => (await import('./runtime.ts')).configure(options));
  withConfigOptions(runtime.command('probe'))
    .description('ask an image service socket for ImageFsInfo, as the kubelet does at its start')
    .option('--socket <path>', 'which socket (default: listen)')
    .option('--timeout <seconds>', 'how long to try', '10')
    .addOption(outputOption())
    .action(async (options) => (await import('./runtime-probe.ts')).probe(options));
}

function addCerts(program: Command): void {
  const certs = program.command('certs').description('certificates with which nodes prove to each other who they are');
  certs
    .command('init')
    .description("make the cluster's certificate authority")
    .option('--dir <folder>', 'where ca.crt and ca.key go')
    .option('--secret <name>', 'make it as a Kubernetes secret instead, unless there is one')
    .option('--namespace <name>', "the secret's namespace")
    .option('--kubeconfig <file>', "how to reach the cluster (default: the pod's service account)")
    .option('--days <number>', 'how long it is valid (default: 3650)', Number)
    .addOption(outputOption())
    .action(async (options) => (await import('./certs.ts')).init(options));
  certs
    .command('issue')
    .description("make a node's certificate and key")
    .requiredOption('--dir <folder>', 'where ca.crt and ca.key are')
    .requiredOption('--name <node>', "the node's name in Kubernetes")
    .option('--address <address>', 'an IP address or DNS name that peers dial; repeat for more', collect)
    .option('--out <folder>', 'where <node>.crt and <node>.key go (default: --dir)')
    .option('--days <number>', 'how long it is valid (default: 365)', Number)
    .option(
      '--renew-before <days>',
      'replace one that is there, but only if it no longer serves or ends so soon',
      Number,
    )
    .addOption(outputOption())
    .action(async (options) => (await import('./certs.ts')).issue(options));
}

function addNodes(program: Command): void {
  program
    .command('nodes')
    .description("the cluster's nodes")
    .command('leave')
    .description("take every node back to plain pulls and wait for it: the Helm chart's pre-delete hook")
    .requiredOption('--daemonset <name>', 'the one that installs Shoal on the nodes')
    .requiredOption('--namespace <name>', 'its namespace')
    .option('--timeout <seconds>', 'how long the nodes may take', Number, 240)
    .option('--kubeconfig <file>', "how to reach the cluster (default: the pod's service account)")
    .addOption(outputOption())
    .action(async (options) => (await import('./nodes.ts')).leave(options));
}

function addCache(program: Command): void {
  const cache = program.command('cache').description('the cache of the agent that runs, or of one that does not');
  const commands: Readonly<Record<CacheCommand, string>> = {
    ls: 'list the blobs, the largest first',
    stat: 'show how full the tiers are and how often they were of use',
    gc: 'drop what is older than cacheTTL',
    verify: 'read every piece on the disk and drop the damaged ones',
    clear: 'drop everything',
  };
  for (const [name, description] of Object.entries(commands)) {
    withConfigOptions(cache.command(name))
      .description(description)
      .addOption(outputOption())
      .action(async (options) => (await import('./cache.ts')).cache(name as CacheCommand, options));
  }
}

function addDoctor(program: Command): void {
  const doctor = program.command('doctor').description("check a node's fitness");
  withConfigOptions(doctor.command('node', { isDefault: true }))
    .description(
      'check this node from the kubelet to its peers, with the mend for each finding; exits with 1 when there is a problem; the command for `shoal doctor` alone',
    )
    .option(
      '--registry <host>',
      'a registry that pods pull from; repeat for more (default: those configured, else docker.io)',
      collect,
    )
    .addOption(outputOption())
    .action(async (options) => (await import('./doctor/doctor.ts')).doctor(options));
  doctor
    .command('disk')
    .description("measure a directory's disk with the cache's own engine")
    .argument('<directory>', 'where the cache is, or is to be')
    .option('--size <MiB>', 'of the file that is measured', '512')
    .addOption(new Option('--aio <0|1>', '1: libaio, 0: a pool of threads').choices(['0', '1']).default('1'))
    .addOption(outputOption())
    .action(async (directory, options) =>
      (await import('./doctor/disk-speed.ts')).doctorDisk({ directory, ...options }),
    );
}
