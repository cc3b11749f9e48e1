import type { Socket } from 'node:net';

/** Seconds that a client has to close its side after a FIN. */
const lingerSeconds = 5;

/**
 * Ends a connection so that the client gets everything written so far and then a FIN. Closing a socket that has unread
 * bytes sends RST instead, which makes containerd fail the whole pull: so it is read on until the client has closed its side too.
 */
export function endWithFin(socket: Socket): void {
  if (socket.destroyed) return;
  socket.resume();
  socket.end(() => {
    const linger = setTimeout(() => socket.destroy(), lingerSeconds * 1000);
    socket.once('close', () => clearTimeout(linger));
  });
}
