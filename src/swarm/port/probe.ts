import type { Member } from '../membership/types.ts';
import type { TransferSecurity } from '../transfer/listen-address.ts';
import { openSession } from './session.ts';

/**
 * Whether a member's port is alive, for the membership: a connection, its handshake with the right name, and the first word of
 * the process behind it. A process that is stopped still accepts connections; it does not pass.
 */
export function createProbe(security: TransferSecurity): (member: Member, signal: AbortSignal) => Promise<void> {
  return async (member, signal) => {
    const { session } = await openSession(member, security, signal);
    session.destroy();
  };
}
