import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Liveness } from '../../../src/swarm/port/liveness.ts';

/** A connection whose counters the test moves. A ping is written, and answered where `answers` says so. */
class Connection extends EventEmitter {
  bytesRead = 0;
  bytesWritten = 0;
  destroyed = false;
  pings = 0;
  answers = true;

  ping = (): boolean => {
    this.pings += 1;
    this.bytesWritten += 17;
    if (this.answers) this.bytesRead += 17;
    return true;
  };

  destroy = (): this => {
    this.destroyed = true;
    this.emit('close');
    return this;
  };
}

let liveness: Liveness;
beforeEach(() => {
  vi.useFakeTimers();
  liveness = new Liveness(10_000);
});
afterEach(() => {
  liveness.close();
  vi.useRealTimers();
});

function watched(): Connection {
  const connection = new Connection();
  liveness.watch(connection, connection);
  return connection;
}

test('an idle connection that answers is asked every few seconds and stays', () => {
  const connection = watched();
  vi.advanceTimersByTime(60_000);
  expect(connection.destroyed).toBe(false);
  expect(connection.pings).toBe(10);
});

test('an idle connection that does not answer is ended before its time is up', () => {
  const connection = watched();
  connection.answers = false;
  vi.advanceTimersByTime(10_000);
  expect(connection.destroyed).toBe(true);
  expect(liveness.size).toBe(0);
});

test('a connection over which something was said is asked at once, and ended when nothing comes back', () => {
  const connection = watched();
  connection.answers = false;
  connection.bytesWritten += 100;
  vi.advanceTimersByTime(1_000);
  expect(connection.pings).toBe(1);
  vi.advanceTimersByTime(3_000);
  expect(connection.destroyed).toBe(true);
});

test('a busy connection on which something comes is never asked', () => {
  const connection = watched();
  for (let second = 0; second < 60; second += 1) {
    connection.bytesWritten += 100;
    connection.bytesRead += 1;
    vi.advanceTimersByTime(1_000);
  }
  expect(connection.pings).toBe(0);
  expect(connection.destroyed).toBe(false);
});
