import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { countRedactionMarks } from '../../src/secrets/redact.ts';
import { brokenOf, formsOf, halvesOf, large, placements } from '../secrets/placements.ts';
import { harmlessTexts, namedSamples, pemKey, type Sample, tokenSamples } from '../secrets/samples.ts';
import { type Client, message, newTenant, type RequestOptions } from '../support/client.ts';
import { findBinaries, serverPid, startCluster, withClient } from '../support/cluster.ts';
import { type SpawnedDaemon, spawnDaemon } from '../support/daemon.ts';
import { daemonDatabase, onEmbedded } from '../support/database.ts';

// A8: secrets are never stored. Sends every kind of secret in every field, then searches the bytes of the database directory with its WAL, the log of
// the daemon and every answer.

interface World {
  daemon: SpawnedDaemon;
  /** The directory with all files of the database. */
  dir: string;
  checkpoint(): Promise<void>;
  end(): Promise<void>;
}

const bin = findBinaries();

async function openWorld(): Promise<World> {
  if (onEmbedded() || !bin || process.env.TEST_DATABASE_URL) return openEmbedded();
  const dir = mkdtempSync(join(tmpdir(), 'agent-memory-a8-'));
  const cluster = await startCluster(bin, dir);
  const { host, port, user, database } = cluster.admin;
  const daemon = await spawnDaemon(
    { PGHOST: host, PGPORT: String(port), PGUSER: user, PGDATABASE: database },
    { LOG_LEVEL: 'debug' },
  );
  return {
    daemon,
    dir,
    checkpoint: () => withClient(cluster.admin, async (client) => void (await client.query('checkpoint'))),
    end: async () => {
      process.kill(serverPid(dir), 'SIGQUIT');
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** Opens the embedded engine, which writes its files when it stops. */
async function openEmbedded(): Promise<World> {
  const { env, release } = await daemonDatabase();
  const daemon = await spawnDaemon(env, { LOG_LEVEL: 'debug' });
  return { daemon, dir: env.DATA_DIR!, checkpoint: async () => undefined, end: release };
}

function* filesIn(dir: string): Generator<string> {
  for (const name of readdirSync(dir)) {
    const path = join(dir, name);
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat?.isDirectory()) yield* filesIn(path);
    else if (stat?.isFile()) yield path;
  }
}

/** Records everything that the daemon sends, which must not contain any secret. */
interface Spoken {
  client: Client;
  answers: string[];
  /** Sends a request and expects this status. */
  say<T = Record<string, any>>(about: string, status: number, method: string, path: string, options?: RequestOptions): Promise<T>;
}

function listenTo(client: Client): Spoken {
  const answers: string[] = [];
  return {
    client,
    answers,
    say: async (about, status, method, path, asked) => {
      const { status: got, body } = await client.request<any>(method, path, asked);
      answers.push(typeof body === 'string' ? body : JSON.stringify(body));
      expect([about, path, got]).toEqual([about, path, status]);
      return body;
    },
  };
}

interface Recorded {
  event_id: string;
  sensitivity: string;
  redactions: number;
}

async function asEvents({ say }: Spoken, sample: Sample): Promise<void> {
  const { kind, text } = sample;
  const body = { events: placements(sample) };
  const asked = { body, headers: { 'idempotency-key': kind } };
  const { data } = await say<{ data: Recorded[] }>(kind, 201, 'POST', '/v1/events', asked);
  expect([kind, ...data.map(({ sensitivity }) => sensitivity)]).toEqual([kind, ...data.map(() => 'none')]);
  await Promise.all(
    data.map(async ({ event_id, redactions }) => {
      const kept = await say(kind, 200, 'GET', `/v1/events/${event_id}`);
      expect([kind, JSON.stringify(kept)]).toEqual([kind, expect.stringContaining('[redacted:')]);
      expect([kind, kept.redactions]).toEqual([kind, redactions]);
      expect([kind, redactions]).toEqual([kind, countRedactionMarks([kept.content, kept.metadata, kept.tags])]);
    }),
  );
  const upload = { body: Buffer.from(text), headers: { 'content-type': 'text/plain' } };
  const { artifact_id } = await say(kind, 201, 'POST', '/v1/artifacts?session_id=s1', upload);
  await say(kind, 200, 'GET', `/v1/artifacts/${artifact_id}`);
}

const note = (text: string, more: Record<string, unknown> = {}) => ({ kind: 'note', text, channel: 'team', ...more });

async function asMemories({ say }: Spoken, sample: Sample, changed: string): Promise<void> {
  const { kind, text } = sample;
  const memories = [
    note(`It was said: ${text}`),
    note(brokenOf(sample)),
    note(`metadata of ${kind}`, { metadata: { deep: [{ er: text }] } }),
    note(`body of ${kind}`, { kind: 'fact', body: { value: text } }),
    note(`tag of ${kind}`, { tags: [text.slice(0, 250)] }),
  ];
  // a PEM key is longer than a tag may be
  const fitting = memories.slice(0, text.length > 250 ? 4 : 5);
  const asked = { body: { memories: fitting }, headers: { 'idempotency-key': `memories ${kind}` } };
  const { data } = await say<{ data: Recorded[] }>(kind, 201, 'POST', '/v1/memories', asked);
  expect([kind, ...data.map(({ sensitivity }) => sensitivity)]).toEqual([kind, ...fitting.map(() => 'none')]);
  expect([kind, data.every(({ redactions }) => redactions > 0)]).toEqual([kind, true]);
  const patched = await say(kind, 200, 'PATCH', `/v1/memories/${changed}`, { body: { text: `Now it is ${text}` } });
  expect([patched.sensitivity, patched.text]).toEqual(['none', expect.stringContaining('[redacted:')]);
}

async function asWordsOfOthers({ say }: Spoken, { kind, text }: Sample, target: string): Promise<void> {
  const redacted = expect.stringContaining('[redacted:');
  const edit = { target, op: 'amend', reason: text, patch: { text }, auto_approve: true };
  const made = await say(kind, 201, 'POST', '/v1/edits', { body: edit });
  expect([made.reason, made.patch.text]).toEqual([redacted, redacted]);
  const capsule = { title: text, risks: [text], items: [target], audience: 'all', channel: 'team' };
  const handed = await say(kind, 201, 'POST', '/v1/capsules', { body: capsule });
  expect([handed.title, ...handed.risks]).toEqual([redacted, redacted]);
  const { settings } = await say(kind, 200, 'PATCH', '/v1/tenant', {
    body: { settings: { display_name: text.replaceAll(/\s+/g, ' ') } },
  });
  expect(settings.display_name).toEqual(redacted);
}

async function writeLarge({ say }: Spoken, samples: Sample[]): Promise<void> {
  const big = await say('large', 201, 'POST', '/v1/events', { body: large(samples) });
  expect([big.sensitivity, big.redactions >= samples.length]).toEqual(['none', true]);
  await say('large', 200, 'GET', `/v1/artifacts/${big.artifact_id}`);
}

/** Finds the text around each secret by search, with the secret redacted. */
async function findTheRest({ say }: Spoken, { kind, text }: Sample, i: number): Promise<void> {
  const word = `marmalade${i}`;
  const events = [message(`${word} one: ${text}`), message(`${word} two: ${text}`, { sensitivity: 'high', channel: 'team' })];
  const { data } = await say<{ data: Recorded[] }>(kind, 201, 'POST', '/v1/events', { body: { events } });
  expect([kind, ...data.map(({ sensitivity }) => sensitivity)]).toEqual([kind, 'none', 'high']);
  const found = await say(kind, 200, 'POST', '/v1/search', { body: { query: word, channel: 'private' } });
  const hits = found.data.map((hit: { event_id: string; text: string }) => [hit.event_id, hit.text.includes('[redacted:')]);
  expect([kind, hits]).toEqual([kind, expect.arrayContaining(data.map(({ event_id }) => [event_id, true]))]);
}

/** Names of rarely created resources, and ids, which cannot be redacted. */
async function asNames({ say }: Spoken, { kind, secret, text }: Sample): Promise<void> {
  const key = await say(kind, 201, 'POST', '/auth/api-keys', { body: { name: text, role: 'member', scopes: ['read'] } });
  expect(key.name).toContain('[redacted:');
  const hook = { url: 'https://example.com/hook', active: false, description: text };
  const { description } = await say(kind, 201, 'POST', '/v1/webhooks', { body: hook });
  expect(description).toContain('[redacted:');
  const errors = [{ pointer: '#/session_id', detail: `must not contain a secret: ${kind}` }];
  const refused = await say(kind, 422, 'POST', '/v1/events', { body: message('x', { session_id: secret }) });
  expect(refused.errors).toEqual(errors);
  const memory = await say(kind, 422, 'POST', '/v1/memories', { body: note('x', { session_id: secret }) });
  expect(memory.errors).toEqual(errors);
}

/** Reads search, lists and contexts. */
async function askForAll({ say }: Spoken): Promise<void> {
  for (const path of ['/v1/events', '/v1/memories', '/v1/edits', '/v1/capsules', '/v1/audit', '/v1/webhooks'])
    await say('lists', 200, 'GET', `${path}?limit=1000`);
  const found = await say('search', 200, 'POST', '/v1/search', { body: { query: 'password metadata said', channel: 'private' } });
  expect(JSON.stringify(found)).toContain('[redacted:');
  await say('memories', 200, 'GET', '/v1/memories?limit=1000&channel=private');
  await say('context', 200, 'POST', '/v1/context', { body: { session_id: 's1', channel: 'private', query_text: 'password' } });
}

async function writeHarmlessTexts({ say }: Spoken): Promise<void> {
  const texts = harmlessTexts();
  expect(texts.length).toBeGreaterThanOrEqual(200);
  for (let i = 0; i < texts.length; i += 100) {
    const events = texts.slice(i, i + 100).map((text) => message(text, { metadata: { text }, session_id: 'plain' }));
    await say('harmless texts', 201, 'POST', '/v1/events', { body: { events } });
    const memories = texts.slice(i, i + 100).map((text) => note(text, { metadata: { text } }));
    const { data } = await say('harmless texts', 201, 'POST', '/v1/memories', { body: { memories } });
    expect(data.map((memory: Kept) => [memory.text, memory.metadata.text, memory.sensitivity])).toEqual(
      asGiven(texts.slice(i, i + 100)),
    );
  }
  const { data } = await say('harmless texts', 200, 'GET', '/v1/events?session_id=plain&limit=1000');
  expect(data.map((event: Kept) => [event.content.text, event.metadata.text, event.sensitivity])).toEqual(asGiven(texts));
}

interface Kept {
  text: string;
  content: { text: string };
  metadata: { text: string };
  sensitivity: string;
}
const asGiven = (texts: string[]) => texts.map((text) => [text, text, 'none']);

let world: World;
beforeAll(async () => {
  world = await openWorld();
}, 120_000);
afterAll(async () => {
  await world.daemon.kill('SIGKILL');
  await world.end();
});

test('A8 secrets of every kind in any field are in no file, log or answer; similar harmless texts are unchanged', async () => {
  const spoken = listenTo(await newTenant(world.daemon.url));
  const { say, answers } = spoken;
  const pem = pemKey();
  const samples = [...tokenSamples(), ...namedSamples(), { kind: 'private-key', secret: pem, text: pem }];
  expect(new Set(samples.map(({ kind }) => kind)).size).toBeGreaterThanOrEqual(25);

  const target = await say('target', 201, 'POST', '/v1/events', { body: message('what is amended', { channel: 'team' }) });
  const changed = await say('changed', 201, 'POST', '/v1/memories', { body: note('what is changed') });
  for (const [i, sample] of samples.entries()) {
    await Promise.all([
      asEvents(spoken, sample),
      asMemories(spoken, sample, changed.memory_id),
      asWordsOfOthers(spoken, sample, target.event_id),
    ]);
    await findTheRest(spoken, sample, i);
  }
  const held = await say('held', 201, 'POST', '/v1/memories', { body: note(samples[1]!.text) });
  const taken = await say('taken', 201, 'POST', `/v1/memories/${held.memory_id}/supersede`, { body: note(samples[0]!.text) });
  expect([taken.sensitivity, taken.redactions]).toEqual(['none', 1]);
  await writeLarge(spoken, samples);
  await asNames(spoken, samples[0]!);
  await writeHarmlessTexts(spoken);
  await askForAll(spoken);

  await world.checkpoint();
  await world.daemon.kill('SIGTERM');
  const needles = samples.flatMap(({ kind, secret }) =>
    (secret === pem ? pem.split('\n').filter((line) => line.length === 64) : [secret])
      .flatMap(formsOf)
      .concat(halvesOf(secret))
      .map((form) => [kind, form] as const),
  );
  const places = [
    ...[...filesIn(world.dir)].map((file) => [file.slice(world.dir.length), readFileSync(file)] as const),
    ['the log', Buffer.from(world.daemon.logged())] as const,
    ['the answers', Buffer.from(answers.join('\n'))] as const,
  ];
  expect(places.some(([, bytes]) => bytes.includes('[redacted:jwt]'))).toBe(true);
  expect(world.daemon.logged()).toContain('/v1/events');
  const landed = places.flatMap(([place, bytes]) =>
    needles.filter(([, form]) => bytes.includes(form)).map(([kind]) => `${kind} in ${place}`),
  );
  expect(landed).toEqual([]);
}, 300_000);
