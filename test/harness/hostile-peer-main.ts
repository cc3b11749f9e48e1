/**
 * Passes connections on and, after SIGUSR2, turns one bit of what comes back over at a regular distance: a peer with broken memory.
 * Arguments: the port that it listens on, the port of loopback behind it, bytes to the first wrong one, and bytes between two. Says
 * every time how many there were.
 */
import { connect, createServer } from 'node:net';

const [port, behind, first, distance] = process.argv.slice(2).map(Number);
let untilWrong = Number.POSITIVE_INFINITY;
process.on('SIGUSR2', () => {
  untilWrong = first ?? 0;
});
let wrong = 0;

const server = createServer((client) => {
  const agent = connect(behind ?? 0, '127.0.0.1');
  client.pipe(agent);
  agent.on('data', (bytes: Buffer) => {
    while (untilWrong < bytes.length) {
      bytes[untilWrong] = (bytes[untilWrong] ?? 0) ^ 1;
      untilWrong += distance ?? Number.POSITIVE_INFINITY;
      wrong += 1;
      console.log(`wrong bytes: ${wrong}`);
    }
    untilWrong -= bytes.length;
    if (!client.write(bytes)) agent.pause();
  });
  client.on('drain', () => agent.resume());
  agent.on('end', () => client.end());
  agent.on('error', () => client.destroy());
  client.on('error', () => agent.destroy());
  client.on('close', () => agent.destroy());
});
server.listen(port, '0.0.0.0', () => console.log('serving'));
