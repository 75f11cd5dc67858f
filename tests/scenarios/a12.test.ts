import { message, newTenant } from '../support/client.ts';
import { contextOf, itemsOf, recordAll, remember } from '../support/context.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

// A12: no bloat.

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

test('A12 a fact stated 20 times verbatim and 20 times paraphrased yields at most 3 items', async () => {
  const alice = await newTenant(daemon.url);
  const fact = 'The staging server is restarted every night at three by the cron job.';
  const others = [
    'Every night at three the cron job restarts the staging server.',
    'Staging gets restarted nightly at three by cron.',
    'A cron job restarts staging each night at three.',
    'Note that the staging server restarts at three every night via cron.',
    'Cron restarts the staging server at three in the night.',
    'At three each night, staging is restarted by the cron job.',
    'The nightly cron job restarts the staging server at three.',
    'Remember: staging server, nightly restart at three, cron job.',
    'Our staging server gets its restart from cron at three every night.',
    'The restart of the staging server happens every night at three, by cron.',
  ];
  const noise = Array.from({ length: 60 }, (_, i) =>
    message(`The release notes mention topic ${'abcdefghij'[i % 10]}${i} and nothing else`, { session_id: `n${i}` }),
  );
  await recordAll(alice, ...noise, message(fact, { session_id: 'f' }));
  const request = () =>
    contextOf(alice, { session_id: 'today', query_text: 'When is the staging server restarted?', max_tokens: 2000 });
  const once = await request();
  await recordAll(
    alice,
    ...Array.from({ length: 19 }, (_, i) => message(fact, { session_id: `v${i}` })),
    ...Array.from({ length: 20 }, (_, i) => message(others[i % 10]!, { session_id: `p${i}` })),
  );
  const often = await request();
  const about = itemsOf(often, 'retrieved_evidence').filter(({ text }) => /staging/i.test(text));
  expect(about.length).toBeGreaterThanOrEqual(1);
  expect(about.map(({ text }) => text).slice(3)).toEqual([]);
  expect(often.provenance.deduplicated).toBeGreaterThanOrEqual(37);
  expect(Math.abs(often.token_used - once.token_used)).toBeLessThanOrEqual(Math.max(0.05 * once.token_used, 0));
});

test('A12 a memory that is created 20 times is stored once and included once', async () => {
  const alice = await newTenant(daemon.url);
  const [source] = await recordAll(alice, message('We looked at the crontab', { session_id: 'f' }));
  const fact = { kind: 'fact', text: 'The staging server is restarted every night at three.', refs: [source!.event_id] };
  const request = () =>
    contextOf(alice, { session_id: 'today', query_text: 'When is the staging server restarted?', max_tokens: 2000 });
  const first = await remember(alice, fact);
  const once = await request();
  for (let i = 0; i < 19; i += 1) expect((await remember(alice, fact)).memory_id).toBe(first.memory_id);
  const often = await request();
  const about = itemsOf(often, 'retrieved_evidence').filter(({ text }) => /staging/.test(text));
  expect(about.map(({ memory_id }) => memory_id)).toEqual([first.memory_id]);
  expect(often.provenance.deduplicated).toBe(19);
  expect(often.token_used).toBe(once.token_used);
});
