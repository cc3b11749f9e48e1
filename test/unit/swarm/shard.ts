import { seededRandom } from '../../../bench/simulate/random.ts';
import type { Agent } from '../../../src/swarm/directory/agent.ts';
import { Directory, type DirectoryOptions } from '../../../src/swarm/directory/directory.ts';
import type { AgentMessage, Hello, ShardMessage } from '../../../src/swarm/messages.ts';
import { helloOf } from '../../harness/hello.ts';

export const blob = `sha256:${'a'.repeat(64)}`;
export const source = 'registry.example/app';

export interface Sent {
  readonly to: string;
  readonly message: ShardMessage;
}

/** A directory with a clock that the test moves, and a record of what it decided. */
export class Shard {
  now = 0;
  readonly directory: Directory;
  readonly sent: Sent[] = [];
  readonly #agents = new Map<string, Agent>();

  constructor(options: Partial<DirectoryOptions> = {}) {
    this.directory = new Directory({
      send: (agent, message) => this.sent.push({ to: agent.hello.id, message }),
      now: () => this.now,
      random: seededRandom(1),
      transferTimeout: 15_000,
      settleTime: 0,
      shards: 1,
      ...options,
    });
    this.directory.tick();
  }

  join(id: string, hello: Partial<Hello> = {}): void {
    const agent = this.directory.join(helloOf(id, { slots: 8, ...hello }));
    if (agent !== undefined) this.#agents.set(id, agent);
  }

  leave(id: string): void {
    const agent = this.#agents.get(id);
    if (agent !== undefined) this.directory.leave(agent);
    this.#agents.delete(id);
  }

  say(id: string, message: AgentMessage): void {
    const agent = this.#agents.get(id);
    if (agent !== undefined) this.directory.apply(agent, message);
  }

  want(id: string, piece = 0, options: { lease?: boolean; urgent?: boolean } = {}): void {
    this.say(id, { kind: 'want', blob, piece, lease: true, urgent: false, source, ...options });
  }

  have(id: string, piece = 0, crc32c = 7, verified = false): void {
    this.say(id, { kind: 'have', blob, piece, crc32c, verified });
  }

  cancel(id: string, piece = 0): void {
    this.say(id, { kind: 'cancel', blob, piece });
  }

  /** Moves the clock and does what is due. */
  advance(milliseconds: number): void {
    this.now += milliseconds;
    this.directory.tick();
  }

  /** What was decided since the last call, one line each: `a lease 0`, `b take 0 from a`. */
  decisions(): string[] {
    return this.sent.splice(0).map(({ to, message }) => {
      const line = `${to} ${message.kind} ${message.piece}`;
      return message.kind === 'take' ? `${line} from ${message.peers.map(({ id }) => id).sort()}` : line;
    });
  }
}
