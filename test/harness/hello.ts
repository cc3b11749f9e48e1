import type { Hello } from '../../src/swarm/messages.ts';

/** The hello of an agent like any other, but for what a test says of it. */
export function helloOf(id: string, values: Partial<Hello> = {}): Hello {
  return { id, address: `${id}:65001`, zone: '', role: 'agent', slots: 12, leases: 0, pace: 0, ...values };
}
