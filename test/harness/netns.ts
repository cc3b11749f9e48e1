import { type Command, run } from './process.ts';
import type { Scope } from './scope.ts';

/** A network namespace with nothing but loopback. */
export interface NetworkNamespace {
  /** As `ip -n` and `tc -n` take it. */
  readonly name: string;
  /** Goes before a command that is to run in it. */
  readonly prefix: Command;
  /**
   * Limits what a server on this port of loopback sends, as a slow link to it would; other ports stay as they are.
   * `megabits` of 10^6 bits a second; undefined takes the limit away.
   */
  limit(port: number, megabits: number | undefined): Promise<void>;
}

/** Makes a network namespace that is gone when the scope closes. Needs root. */
export async function createNetworkNamespace(scope: Scope): Promise<NetworkNamespace> {
  const name = `shoal-${process.pid}-${Math.random().toString(36).slice(2, 8)}`;
  await run(['ip', 'netns', 'add', name]);
  scope.defer(() => run(['ip', 'netns', 'delete', name]));
  // Only the network is another one: files, mounts and processes stay shared, as unlike `ip netns exec`.
  const prefix: Command = ['nsenter', `--net=/run/netns/${name}`, '--'];
  const inside = (...command: string[]): Promise<string> => run([...prefix, ...command]);
  await inside('ip', 'link', 'set', 'lo', 'up');
  return {
    name,
    prefix,
    async limit(port, megabits) {
      const current = await inside('tc', 'qdisc', 'show', 'dev', 'lo');
      if (current.includes('htb')) await inside('tc', 'qdisc', 'delete', 'dev', 'lo', 'root');
      if (megabits === undefined) return;
      const tc = (what: string): Promise<string> => inside('tc', ...what.split(' '));
      await tc('qdisc add dev lo root handle 1: htb default 1');
      await tc('class add dev lo parent 1: classid 1:1 htb rate 100gbit quantum 65536');
      // Loopback's packets have up to 64 KiB: the bucket must hold some of them.
      await tc(`class add dev lo parent 1: classid 1:2 htb rate ${megabits}mbit burst 256k quantum 65536`);
      await tc(`filter add dev lo parent 1: protocol ip prio 1 u32 match ip sport ${port} 0xffff flowid 1:2`);
    },
  };
}
