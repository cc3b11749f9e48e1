import { type ClientHttp2Session, type ClientHttp2Stream, connect, type OutgoingHttpHeaders } from 'node:http2';
import { connect as connectTls } from 'node:tls';
import { decodeShardFrame, encodeAgentFrame } from '../../src/swarm/directory-service/codec.ts';
import { attendPath, describeStatus, Reassembly, withPrefix } from '../../src/swarm/directory-service/framing.ts';
import type { AgentMessage, Hello, ShardMessage } from '../../src/swarm/messages.ts';
import type { PeerCertificates } from '../../src/swarm/tls/certificates.ts';
import type { Scope } from './scope.ts';

export interface AttendanceOptions {
  readonly certificates?: PeerCertificates;
  /** More headers, or others than an agent's. */
  readonly headers?: OutgoingHttpHeaders;
  /** Bytes that the shard may send before they are taken. */
  readonly window?: number;
}

/** A stream to a shard that sends whatever the test says, over a connection of its own. */
export class RawAttendance {
  readonly session: ClientHttp2Session;
  readonly stream: ClientHttp2Stream;
  readonly received: ShardMessage[] = [];
  /** What the shard ended it with, in words; undefined when it was cut without a word. */
  readonly ended: Promise<string | undefined>;
  readonly opened: Promise<void>;

  constructor(scope: Scope, address: string, { certificates, headers, window }: AttendanceOptions = {}) {
    const settings = { enablePush: false, ...(window !== undefined && { initialWindowSize: window }) };
    const [host = '', port] = address.split(':');
    this.session = connect(`http://${address}`, {
      settings,
      ...(certificates !== undefined && {
        createConnection: () =>
          connectTls({
            host,
            port: Number(port),
            secureContext: certificates.clientContext,
            ALPNProtocols: ['h2'],
            checkServerIdentity: () => undefined,
          }),
      }),
    });
    this.session.on('error', () => undefined);
    scope.defer(() => this.session.destroy());
    this.stream = this.session.request({
      ':method': 'POST',
      ':path': attendPath,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    this.stream.on('error', () => undefined);
    const ended = Promise.withResolvers<string | undefined>();
    const opened = Promise.withResolvers<void>();
    this.ended = ended.promise;
    this.opened = opened.promise;
    this.stream.on('response', (answer) => {
      const status = describeStatus(answer);
      if (status === undefined) opened.resolve();
      else ended.resolve(status);
    });
    this.stream.on('trailers', (trailers) => ended.resolve(describeStatus(trailers)));
    this.stream.on('close', () => ended.resolve(undefined));
  }

  /** Begins to take what the shard sends. */
  read(): this {
    const reassembly = new Reassembly();
    this.stream.on('data', (chunk: Buffer) => {
      for (const frame of reassembly.push(chunk)) this.received.push(...decodeShardFrame(frame).messages);
    });
    return this;
  }

  send(...frames: readonly Buffer[]): this {
    for (const frame of frames) this.stream.write(withPrefix(frame));
    return this;
  }

  sendRaw(bytes: Buffer): this {
    this.stream.write(bytes);
    return this;
  }

  say(hello: Hello | undefined, ...messages: readonly AgentMessage[]): this {
    return this.send(encodeAgentFrame({ ...(hello !== undefined && { hello }), messages }));
  }
}
