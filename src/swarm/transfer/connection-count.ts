import type { Socket } from 'node:net';

/** Open connections by the address they come from: one peer can't take the descriptors of all. */
export class ConnectionCount {
  readonly #limit: number;
  readonly #sockets = new Set<Socket>();
  readonly #byAddress = new Map<string, number>();

  constructor(limitPerAddress: number) {
    this.#limit = limitPerAddress;
  }

  get total(): number {
    return this.#sockets.size;
  }

  /** Counts a connection until it is closed; false when its address has as many as it may. */
  add(socket: Socket): boolean {
    const address = socket.remoteAddress ?? '';
    const count = this.#byAddress.get(address) ?? 0;
    if (count >= this.#limit) return false;
    this.#byAddress.set(address, count + 1);
    this.#sockets.add(socket);
    socket.once('close', () => this.#remove(socket, address));
    return true;
  }

  destroyAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #remove(socket: Socket, address: string): void {
    this.#sockets.delete(socket);
    const count = (this.#byAddress.get(address) ?? 1) - 1;
    if (count === 0) this.#byAddress.delete(address);
    else this.#byAddress.set(address, count);
  }
}
