import { rm } from 'node:fs/promises';
import path from 'node:path';
import { loadPackageDefinition, Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

/** What the scripted engine does with every pull. */
export interface EngineScript {
  /** `hang` never decides, `break` ends the call with an error. */
  readonly open: 'accept' | 'decline' | 'hang' | 'break';
  /** Requests that the mirror is said to have answered; `hang` and `die` instead of an answer. */
  readonly fallBack?: number | 'hang' | 'die';
  readonly cause?: string;
}

/** A message of proto/engine.proto, as it came. */
export interface EngineMessage {
  readonly message: 'open' | 'fallBack' | 'finish';
  readonly open?: { readonly image: string } & Readonly<Record<string, unknown>>;
}

/** An engine without a mirror behind it: serves proto/engine.proto as its script says. */
export class FakeEngine {
  script: EngineScript = { open: 'accept' };
  readonly messages: EngineMessage[] = [];
  /** Pulls whose stream has ended. */
  closed = 0;
  readonly #server = new Server();
  #waiting: Array<() => void> = [];

  async listen(socket: string): Promise<void> {
    const definition = loadSync(path.join(import.meta.dirname, '../../proto/engine.proto'), {
      defaults: true,
      oneofs: true,
    });
    const root = loadPackageDefinition(definition) as unknown as {
      shoal: { engine: { v1: { Engine: { service: Parameters<Server['addService']>[0] } } } };
    };
    this.#server.addService(root.shoal.engine.v1.Engine.service, {
      pull: (stream: ServerDuplexStream<EngineMessage, object>) => this.#serve(stream),
    });
    await rm(socket, { force: true });
    await new Promise<void>((resolve, reject) => {
      this.#server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (error) =>
        error ? reject(error) : resolve(),
      );
    });
  }

  /** Resolves when the condition holds; it is looked at after every message and end of a pull. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Ends at once, as if killed. */
  die(): void {
    this.#server.forceShutdown();
  }

  #serve(stream: ServerDuplexStream<EngineMessage, object>): void {
    let over = false;
    const end = (): void => {
      if (over) return;
      over = true;
      this.closed += 1;
      stream.end();
      this.#wake();
    };
    stream.on('data', (message: EngineMessage) => {
      this.messages.push(message);
      this.#answer(stream, message);
      this.#wake();
    });
    stream.on('end', end);
    stream.on('cancelled', end);
    stream.on('error', end);
  }

  #answer(stream: ServerDuplexStream<EngineMessage, object>, message: EngineMessage): void {
    const { open, fallBack = 1, cause = '' } = this.script;
    switch (message.message) {
      case 'open':
        if (open === 'accept') stream.write({ accepted: { rule: 'test rule' } });
        if (open === 'decline') stream.write({ declined: { reason: 'test reason' } });
        if (open === 'break') stream.emit('error', { code: 13, details: 'test failure' });
        return;
      case 'fallBack':
        if (fallBack === 'die') this.die();
        else if (fallBack !== 'hang') stream.write({ fellBack: { served: fallBack, cause } });
        return;
      case 'finish':
        stream.write({ summary: { imageBytes: 5_000_000_000, originBytes: 3, peerBytes: 2, rule: 'test rule' } });
        stream.end();
    }
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }
}
