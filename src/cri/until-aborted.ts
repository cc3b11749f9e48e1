/** Resolves when the promise is settled or the signal fires, whichever is first. */
export function abortedOr(promise: Promise<unknown>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      signal.removeEventListener('abort', done);
      resolve();
    };
    if (signal.aborted) return done();
    signal.addEventListener('abort', done);
    promise.then(done, done);
  });
}
