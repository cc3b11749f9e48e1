/** Requests to the kernel that keep the process until they are done: a name that is resolved, a file on a mount that hangs. */
const lasting = /^(GetAddrInfo|GetNameInfo|FS)/;

/**
 * Ends the process although a thread of its pool is stuck in the kernel: `process.exit` would wait for that thread, execve(2) does
 * not. Does nothing where no thread is.
 */
export function leaveUnlessIdle(code: number): void {
  if (!process.getActiveResourcesInfo().some((resource) => lasting.test(resource))) return;
  // This very program, because it is there for sure. Its warning that execve is new would look like a finding.
  process.removeAllListeners('warning');
  process.execve?.(process.execPath, [process.execPath, '--eval', `process.exitCode = ${code}`], {});
  process.exit(code);
}
