import { message, newTenant } from '../support/client.ts';
import { contextOf, itemsOf, recordAll, remember, textsOf } from '../support/context.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

// A6: a handoff, not a transcript.

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

test('A6 the context of the receiver has the handoff, its decisions and at most 20 evidence items, and nothing else of the conversation', async () => {
  const alice = await newTenant(daemon.url);
  const planner = { type: 'agent', id: 'planner' };
  const turns = Array.from({ length: 30 }, (_, i) =>
    message(`Turn ${i}: the importer of invoices was looked at from side ${'abcdefghijklmnopqrstuvwxyz'[i % 26]}${i}`, {
      session_id: 'work',
      channel: i % 2 === 0 ? 'agent' : 'team',
      actor: planner,
      agent_id: 'planner',
    }),
  );
  const recorded = await recordAll(alice, ...turns);
  const decision = (text: string) => ({
    ...message('', { session_id: 'work', channel: 'agent', actor: planner, agent_id: 'planner' }),
    kind: 'decision',
    content: { decision: text },
  });
  const [stream, retry] = await recordAll(
    alice,
    decision('the importer streams its rows'),
    decision('the importer retries three times'),
  );
  await recordAll(alice, decision('the logo stays blue'));
  const handoff = await remember(alice, {
    kind: 'handoff',
    channel: 'agent',
    agent_id: 'planner',
    session_id: 'work',
    actor: planner,
    text: 'Please finish the importer.',
    refs: [recorded[3]!.event_id, recorded[4]!.event_id],
    body: {
      to_agent: 'coder',
      problem: 'The importer of invoices fails on large files',
      constraints: ['no new dependency'],
      decisions: [stream!.event_id, 'the importer retries three times'],
      open_questions: ['Which side of the importer is slow?'],
      refs: [recorded[6]!.event_id],
    },
  });

  for (const more of [{}, { query_text: 'importer of invoices, every side' }, { session_id: 'work' }]) {
    const bundle = await contextOf(alice, { session_id: 'coding', channel: 'agent', agent_id: 'coder', ...more });
    const [packet] = itemsOf(bundle, 'handoff');
    expect(packet).toMatchObject({ type: 'handoff', memory_id: handoff.memory_id, origin: planner, trust: 'inferred' });
    for (const part of ['fails on large files', 'no new dependency', 'Which side of the importer is slow?', 'Please finish'])
      expect(packet!.text).toContain(part);
    expect(
      itemsOf(bundle, 'decisions')
        .map(({ memory_id }) => memory_id)
        .toSorted(),
    ).toEqual([stream!.memory_id, retry!.memory_id].toSorted());
    const evidence = itemsOf(bundle, 'retrieved_evidence');
    expect(evidence.length).toBeLessThanOrEqual(20);
    // the cited events are included; the channel shows events of the channels agent and public
    expect(evidence.filter(({ refs }) => [recorded[4]!, recorded[6]!].some(({ event_id }) => refs[0] === event_id))).toHaveLength(
      2,
    );
    expect(itemsOf(bundle, 'recent_window')).toEqual([]);
    const included = turns.filter(({ content }) => bundle.text.includes((content as { text: string }).text));
    expect(included.length).toBeLessThanOrEqual(20);
    const inEvidence = turns.filter(({ content }) =>
      evidence.some(({ text }) => text.includes((content as { text: string }).text)),
    );
    expect(included).toEqual(inEvidence);
  }
});

test('A6 the context includes the receiver’s own session, and contexts of other agents do not include the handoff', async () => {
  const alice = await newTenant(daemon.url);
  await remember(alice, { kind: 'handoff', channel: 'agent', text: 'old', body: { to_agent: 'coder', problem: 'first' } });
  await remember(alice, { kind: 'handoff', channel: 'agent', text: 'new', body: { to_agent: 'coder', problem: 'second' } });
  await recordAll(alice, message('I begin', { session_id: 'coding', channel: 'agent', agent_id: 'coder' }));
  const bundle = await contextOf(alice, { session_id: 'coding', channel: 'agent', agent_id: 'coder' });
  expect(textsOf(bundle, 'handoff')).toEqual([expect.stringContaining('second')]);
  expect(textsOf(bundle, 'recent_window')).toEqual([expect.stringContaining('I begin')]);
  expect(itemsOf(await contextOf(alice, { channel: 'agent', agent_id: 'tester' }), 'handoff')).toEqual([]);
  expect(itemsOf(await contextOf(alice, { channel: 'public', agent_id: 'coder' }), 'handoff')).toEqual([]);
});
