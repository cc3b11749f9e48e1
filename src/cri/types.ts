/** What the CRI room needs of whoever accelerates pulls. */

/** CRI's AuthConfig: every field may be empty. Never logged. */
export interface PullAuth {
  readonly username: string;
  readonly password: string;
  readonly auth: string;
  readonly serverAddress: string;
  readonly identityToken: string;
  readonly registryToken: string;
}

/** The pod that a pull is for. */
export interface PullPod {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

/** What a PullImage request says. */
export interface PullRequest {
  /** The image reference as the kubelet gave it. */
  readonly image: string;
  readonly auth?: PullAuth;
  /** Absent when the request names no sandbox (crictl). */
  readonly pod?: PullPod;
  /** The call's `traceparent` and `tracestate`, when the kubelet traces and they are valid. */
  readonly traceparent?: string;
  readonly tracestate?: string;
}

export type PullDecision =
  | { readonly kind: 'accepted'; readonly rule: string }
  | { readonly kind: 'declined'; readonly reason: string }
  /** Nobody there to decide. */
  | { readonly kind: 'away'; readonly reason: string };

export interface FallBackResult {
  /** Requests of the pull that were answered with content. Zero: the pull failed without Shoal having a part in it. */
  readonly served: number;
  /** Why Shoal itself thinks that the pull failed; empty when it does not know. */
  readonly cause: string;
}

/** Where a pull's bytes came from, in bytes. */
export interface PullSummary {
  readonly imageBytes: number;
  readonly memoryBytes: number;
  readonly diskBytes: number;
  readonly peerBytes: number;
  /** From nodes of the role mirror. */
  readonly mirrorBytes: number;
  readonly originBytes: number;
  readonly rule: string;
}

/** How the runtime answered. */
export interface FinishedPull {
  readonly ok: boolean;
  /** Its words when it failed, made fit for a log. */
  readonly error: string;
}

/** One pull, as the engine follows it. */
export interface PullSession {
  /** What was decided so far; `undefined` while it wasn't. */
  readonly decision: PullDecision | undefined;
  /** Resolves with the decision, however late. Never rejects: an engine that goes away decides `away`. */
  decided(): Promise<PullDecision>;
  /** Tells that the runtime's pull failed: from now on its mirror refuses the image. Rejects when the engine is gone. */
  fallBack(signal: AbortSignal): Promise<FallBackResult>;
  /** Tells that the pull is over and asks where its bytes came from. Rejects when the engine is gone. */
  finish(outcome: FinishedPull, signal: AbortSignal): Promise<PullSummary>;
  /** Ends the session, whatever its state. Idempotent. */
  close(): void;
}

export interface PullSessions {
  /** Begins a session; never throws and never blocks. */
  open(request: PullRequest): PullSession;
}
