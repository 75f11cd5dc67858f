import type { Isolation } from '../feature.ts';

export const isolation: Isolation = {
  make: async ({ request }) => ({
    job_id: (await request('POST', '/v1/erasures', { body: { session_id: 'of nobody' } })).body.job_id,
  }),
  cases: { erase: { body: () => ({ user_id: 'alice', dry_run: true }), ownAnswer: true } },
};
