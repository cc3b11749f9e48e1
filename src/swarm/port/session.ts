import { type ClientHttp2Session, connect } from 'node:http2';
import type { Socket } from 'node:net';
import type { Peer } from '../messages.ts';
import { dial } from '../transfer/dial.ts';
import type { TransferSecurity } from '../transfer/listen-address.ts';

export interface OpenSession {
  readonly session: ClientHttp2Session;
  readonly socket: Socket;
}

/**
 * Opens an HTTP/2 connection to a member's port, with TLS where the swarm has it, and waits for the other side's first word:
 * then a process is there that answers. Rejects with what went wrong, or with the signal's reason; nothing stays open then.
 */
export async function openSession(peer: Peer, security: TransferSecurity, signal: AbortSignal): Promise<OpenSession> {
  signal.throwIfAborted();
  const tls = security.kind === 'tls';
  const socket = dial(peer, { protocol: 'h2', ...(tls && { certificates: security.certificates }) });
  socket.setNoDelay(true);
  const session = connect(`${tls ? 'https' : 'http'}://${peer.address}`, {
    createConnection: () => socket,
    settings: { enablePush: false },
  });
  try {
    await firstWord(session, socket, signal);
  } catch (error) {
    session.destroy();
    socket.destroy();
    throw error;
  }
  return { session, socket };
}

function firstWord(session: ClientHttp2Session, socket: Socket, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    const closed = (): void => reject(new Error('it closed the connection at once'));
    signal.addEventListener('abort', abort, { once: true });
    session.once('remoteSettings', () => {
      signal.removeEventListener('abort', abort);
      session.off('close', closed);
      resolve();
    });
    // Stays: an error that nobody listens to would end the process.
    for (const emitter of [session, socket]) emitter.on('error', reject);
    session.once('close', closed);
  });
}
