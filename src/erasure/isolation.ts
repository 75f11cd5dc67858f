import type { Isolation } from '../feature.ts';

export const isolation: Isolation = {
  make: async ({ ask }) => ({ job_id: (await ask('POST', '/v1/erasures', { body: { session_id: 'of nobody' } })).body.job_id }),
  cases: { erase: { body: () => ({ user_id: 'alice', dry_run: true }), ownAnswer: true } },
};
