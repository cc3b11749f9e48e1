import type { Failed, Have } from '../messages.ts';
import type { Agent } from './agent.ts';
import type { Agents } from './agents.ts';
import type { Piece } from './piece.ts';
import type { Pieces } from './pieces.ts';
import { SpoiledBlobs } from './spoiled.ts';
import { Trust } from './trust.ts';

export interface IntegrityOptions {
  readonly agents: Agents;
  readonly pieces: Pieces;
  readonly distrustPerAgent: number;
  readonly now: () => number;
  /** The piece has lost holders: what waits for it is to be decided anew. */
  readonly changed: (piece: Piece) => void;
}

/** Whose bytes count: which CRC32C is a piece's, who is accused of having spread another one, and what follows. */
export class Integrity {
  readonly #options: IntegrityOptions;
  readonly #trust: Trust;
  readonly #spoiled: SpoiledBlobs;
  /** Announcements of another CRC32C than the one known. */
  disputes = 0;
  /** Agents that were banned. */
  banned = 0;

  constructor(options: IntegrityOptions) {
    this.#options = options;
    this.#trust = new Trust(options.distrustPerAgent, options.now);
    this.#spoiled = new SpoiledBlobs(options.now);
  }

  /** The agent alone has found the blob spoiled: it can't use what the others have. */
  isLoner(blob: string, agent: Agent): boolean {
    return this.#spoiled.isLoner(blob, agent);
  }

  /**
   * Whether the agent's CRC32C is the piece's: the first one known is, until somebody who has checked the whole blob says
   * otherwise. `leased`: the agent has just fetched the piece from the origin.
   */
  agrees(agent: Agent, piece: Piece, message: Have, leased: boolean): boolean {
    if (piece.holders === 0) {
      publish(agent, piece, message);
      const contradicted = leased ? this.#spoiled.contradicted(piece.blob, piece.index, piece.crc32c) : undefined;
      if (contradicted !== undefined) this.#accuse(contradicted, agent);
      return true;
    }
    if (piece.crc32c === message.crc32c) {
      piece.verified ||= message.verified;
      return true;
    }
    this.disputes += 1;
    if (!message.verified || piece.verified) {
      piece.removeHolder(agent);
      return false;
    }
    const former = piece.publisher;
    this.#dropHolders(piece);
    publish(agent, piece, message);
    if (former !== undefined) this.#accuse(former, agent);
    return true;
  }

  /** A peer failed the agent. */
  failed(agent: Agent, peer: Agent, piece: Piece, failure: Failed['failure']): void {
    if (failure === 'absent') {
      piece.removeHolder(peer);
      return;
    }
    this.#trust.suspect(agent, peer, failure);
    if (failure === 'corrupt') this.#accuse(peer, agent);
  }

  /** The whole blob's SHA-256 was wrong at the agent, which has thrown all of it away. */
  spoiled(agent: Agent, blob: string): void {
    const purge = this.#spoiled.report(blob, agent);
    for (const piece of this.#options.pieces.ofBlob(blob)) {
      if (purge) {
        const { crc32c, publisher } = piece;
        if (publisher !== undefined) this.#spoiled.keep(blob, piece.index, { crc32c, publisher });
        this.#dropHolders(piece);
      } else {
        piece.removeHolder(agent);
      }
      this.#options.changed(piece);
    }
  }

  #accuse(accused: Agent, accuser: Agent): void {
    if (!accused.joined || !this.#trust.accuse(accused, accuser)) return;
    this.banned += 1;
    for (const piece of this.#options.pieces.all()) if (piece.removeHolder(accused)) this.#options.changed(piece);
  }

  #dropHolders(piece: Piece): void {
    for (const group of piece.groups.values()) {
      while (group.holders.size > 0) {
        const holder = this.#options.agents.at(group.holders.at(0));
        if (holder === undefined || !piece.removeHolder(holder)) break;
      }
    }
  }
}

function publish(agent: Agent, piece: Piece, message: Have): void {
  piece.crc32c = message.crc32c;
  piece.publisher = agent;
  piece.verified = message.verified;
}
