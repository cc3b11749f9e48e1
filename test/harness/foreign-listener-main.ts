/** Listens on every address of the network namespace that it runs in, and gives the socket to its parent. Its argument is the port. */
import { once } from 'node:events';
import { createServer } from 'node:net';

const server = createServer();
server.listen(Number(process.argv[2]), '0.0.0.0');
await once(server, 'listening');
process.send?.('listening', server, {}, () => process.exit());
