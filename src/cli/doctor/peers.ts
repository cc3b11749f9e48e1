import { judgeDials } from './dials.ts';
import type { Check } from './types.ts';

/** Whether the other nodes can be reached on their port. */
export const peersCheck: Check = {
  group: 'peers',
  about: 'other nodes',
  boundMs: 20_000,
  remote: true,
  run: async ({ peerAnswers }) => {
    const answers = await peerAnswers();
    return 'instead' in answers ? [answers.instead] : judgeDials(answers.dials, answers);
  },
};
