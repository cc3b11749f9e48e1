import type { PullSession, PullSessions } from '../../src/cri/types.ts';

/** For tests that are not about pulls: there is no engine. */
export const noSessions: PullSessions = {
  open(): PullSession {
    const away = { kind: 'away', reason: 'this test has no engine' } as const;
    return {
      decision: away,
      decided: () => Promise.resolve(away),
      fallBack: () => Promise.reject(new Error(away.reason)),
      finish: () => Promise.reject(new Error(away.reason)),
      close: () => undefined,
    };
  },
};
