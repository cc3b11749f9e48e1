import { defaultScheduleLimits } from '../../src/swarm/schedule.ts';
import { type ImageLayout, imageBytes, imageOf } from './image.ts';
import type { Scenario } from './swarm-model.ts';

const MiB = 2 ** 20;

/** 1 Mbit/s, in bytes per millisecond. */
const megabit = 125;
/** The image of all runs: 10 GiB in four layers. */
const largeImage = 10 * 1024 * MiB;
const layers = 4;
/** How far a node may be ahead of its reader, and what its cache holds: the defaults of disk mode, in bytes. */
const windowBytes = 1_024 * MiB;
const cacheBytes = 4_096 * MiB;
/** What that is in pieces of 4 MiB. Coarser pieces keep the number: it is what decides how nodes complement each other. */
const windowPieces = 256;
const cachePieces = 1_024;

export interface Row {
  readonly title: string;
  readonly scenario: Scenario;
}

export interface RowOptions {
  readonly nodes: number;
  /** Pieces that the image is cut into: production has 2560 of 4 MiB; fewer and larger ones are the coarser model. */
  readonly pieces: number;
  readonly imageBytes?: number;
  /** Of a node, each way, in Mbit/s: 1000 unless given. */
  readonly bandwidth?: number;
  /** In units of one node's bandwidth. */
  readonly origin?: number;
  readonly zones?: number;
  readonly slowShare?: number;
  readonly churnPerMinute?: number;
  /** As a multiple of the bound. */
  readonly stagger?: number;
  readonly seed?: number;
}

/** A run with the product's defaults, on the scale of the pieces that the image is cut into. */
export function scenario(options: RowOptions): Scenario {
  const bytes = options.imageBytes ?? largeImage;
  const image = imageOf(bytes, layers, Math.round(bytes / options.pieces));
  const nodeBandwidth = (options.bandwidth ?? 1_000) * megabit;
  const originBandwidth = nodeBandwidth * (options.origin ?? 10);
  return {
    nodes: options.nodes,
    image,
    nodeBandwidth,
    originBandwidth,
    zones: options.zones ?? 1,
    slowShare: options.slowShare ?? 0,
    churnPerMinute: options.churnPerMinute ?? 0,
    stagger: (options.stagger ?? 0) * boundOf(image, Math.min(nodeBandwidth, originBandwidth)),
    cacheBytes: Math.max(cacheBytes, cachePieces * image.pieceBytes),
    limits: { ...defaultScheduleLimits, windowBytes: Math.max(windowBytes, windowPieces * image.pieceBytes) },
    seed: options.seed ?? 1,
  };
}

/** No swarm can be faster: every byte leaves the origin once and enters every node once. Milliseconds. */
export function bound(run: Scenario): number {
  return boundOf(run.image, Math.min(run.nodeBandwidth, run.originBandwidth));
}

function boundOf(image: ImageLayout, bandwidth: number): number {
  return imageBytes(image) / bandwidth;
}

/** The table: one thing changes at a time. `largest` bounds the rows over the number of nodes. */
export function rows(largest: number): Row[] {
  const row = (title: string, options: RowOptions): Row => ({ title, scenario: scenario(options) });
  const sizes = [10, 30, 100, 300, 1_000].filter((nodes) => nodes < largest);
  const zones = 3;
  return [
    ...sizes.map((nodes) => row('all at once', { nodes, pieces: 512, zones })),
    row('pieces as in production', { nodes: Math.min(100, largest), pieces: 2_560, zones }),
    row('origin of one node', { nodes: Math.min(100, largest), pieces: 512, zones, origin: 1 }),
    row('origin of a quarter node', { nodes: Math.min(100, largest), pieces: 512, zones, origin: 0.25 }),
    row('256 MiB at 200 Mbit/s', { nodes: 8, pieces: 1_024, origin: 1, imageBytes: 256 * MiB, bandwidth: 200 }),
    row('one zone', { nodes: Math.min(300, largest), pieces: 512 }),
    row('five zones', { nodes: Math.min(300, largest), pieces: 512, zones: 5 }),
    row('a quarter 10 × slower', { nodes: Math.min(300, largest), pieces: 512, zones, slowShare: 0.25 }),
    row('churn 1 % a minute', { nodes: Math.min(300, largest), pieces: 512, zones, churnPerMinute: 0.01 }),
    row('churn 10 % a minute', { nodes: Math.min(300, largest), pieces: 512, zones, churnPerMinute: 0.1 }),
    row('staggered over the bound', { nodes: Math.min(300, largest), pieces: 512, zones, stagger: 1 }),
  ];
}
