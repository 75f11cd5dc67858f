import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { innocents, namedSamples, pemKey, type Sample, tokenSamples } from '../secrets/samples.ts';
import { type Client, message, newTenant } from '../support/client.ts';
import { findBinaries, serverPid, startCluster, withClient } from '../support/cluster.ts';
import { type SpawnedDaemon, spawnDaemon } from '../support/daemon.ts';
import { daemonDatabase, onEmbedded } from '../support/database.ts';

// A8: secrets never land. Every kind in every place, then a byte search over the database's directory with its WAL, the daemon's
// log and every answer.

interface World {
  daemon: SpawnedDaemon;
  /** Where every byte of the database lies. */
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

/** The embedded engine writes its files when it stops. */
async function openEmbedded(): Promise<World> {
  const { env, release } = await daemonDatabase();
  const daemon = await spawnDaemon(env, { LOG_LEVEL: 'debug' });
  return { daemon, dir: env.DATA_DIR!, checkpoint: async () => undefined, end: release };
}

const lorem = 'The build printed this line and went on with the next of its many steps. ';

/** The same secret wherever a client may put one. */
function placements({ text, secret }: Sample): Record<string, unknown>[] {
  const half = Math.floor(secret.length / 2);
  const broken = text.replace(secret, () => `${secret.slice(0, half)}" +\n  "${secret.slice(half)}`);
  return [
    message(text),
    message('nested', { content: { text: 'nested', deep: [{ er: { note: text } }], [`name ${text}`]: true } }),
    message(broken.replace(/(["'])?$/, '$1')),
    message('in the metadata', { metadata: { note: [text] } }),
    message('as lines', { content: { text: 'lines', lines: ['first', text, 'last'] } }),
    {
      ...message(''),
      actor: { type: 'tool', id: 'shell' },
      kind: 'tool_result',
      content: { tool: 'shell', excerpt_text: `$ env\n${text}\n$ exit` },
    },
  ];
}

const large = (samples: Sample[]) => ({
  ...message(''),
  actor: { type: 'tool', id: 'shell' },
  kind: 'tool_result',
  content: {
    tool: 'shell',
    excerpt_text: samples
      .map(({ text }) => `${lorem.repeat(64)}\n${text}\n`)
      .join('')
      .padEnd(240_000, lorem),
  },
});

/** As it is, and as it would stand in base64 or hex at each of three places, or escaped. */
function formsOf(secret: string): string[] {
  const base64 = [0, 1, 2].map((shift) =>
    Buffer.from('x'.repeat(shift) + secret)
      .toString('base64')
      .slice(4, -4),
  );
  return [secret, JSON.stringify(secret).slice(1, -1), ...base64, Buffer.from(secret).toString('hex')].filter(
    (form) => form.length > 7,
  );
}

function* filesIn(dir: string): Generator<string> {
  for (const name of readdirSync(dir)) {
    const path = join(dir, name);
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat?.isDirectory()) yield* filesIn(path);
    else if (stat?.isFile()) yield path;
  }
}

async function writeAll(client: Client, samples: Sample[]): Promise<{ answers: string[]; ids: string[] }> {
  const answers: string[] = [];
  const ids: string[] = [];
  for (const sample of samples) {
    const answer = await client.ask('POST', '/v1/events', {
      body: { events: placements(sample) },
      headers: { 'idempotency-key': sample.kind },
    });
    expect([sample.kind, answer.status]).toEqual([sample.kind, 201]);
    const shown = answer.body.data as { event_id: string; sensitivity: string }[];
    // the text broken over lines may have lost its context, which is told by the byte search
    expect([sample.kind, shown.filter(({ sensitivity }, i) => i !== 2 && sensitivity !== 'secret').length]).toEqual([
      sample.kind,
      0,
    ]);
    ids.push(...shown.map(({ event_id }) => event_id));
    answers.push(JSON.stringify(answer.body));
    const upload = await client.ask('POST', '/v1/artifacts?session_id=s1', {
      body: Buffer.from(sample.text),
      headers: { 'content-type': 'text/plain' },
    });
    expect(upload.status).toBe(201);
    answers.push((await client.ask<string>('GET', `/v1/artifacts/${upload.body.artifact_id}`)).body);
  }
  return { answers, ids };
}

test('A8 secrets of every kind, wherever they are put, are in no file, log or answer; look-alikes are untouched', async () => {
  const world = await openWorld();
  const client = await newTenant(world.daemon.url);
  const pem = pemKey();
  const samples = [...tokenSamples(), ...namedSamples(), { kind: 'private-key', secret: pem, text: pem }];
  expect(new Set(samples.map(({ kind }) => kind)).size).toBeGreaterThanOrEqual(25);

  const { answers, ids } = await writeAll(client, samples);
  const big = await client.ask('POST', '/v1/events', { body: large(samples) });
  expect([big.status, big.body.sensitivity]).toEqual([201, 'secret']);
  answers.push((await client.ask<string>('GET', `/v1/artifacts/${big.body.artifact_id}`)).body);
  for (const id of ids) answers.push(JSON.stringify((await client.ask('GET', `/v1/events/${id}`)).body));
  const refused = await client.ask('POST', '/v1/events', { body: message('x', { session_id: samples[0]!.secret }) });
  expect([refused.status, refused.body.errors]).toEqual([
    422,
    [{ pointer: '#/session_id', detail: `holds a secret: ${samples[0]!.kind}` }],
  ]);
  answers.push(JSON.stringify(refused.body));

  const texts = innocents();
  for (let i = 0; i < texts.length; i += 100) {
    const events = texts.slice(i, i + 100).map((text) => message(text, { metadata: { text }, session_id: 'plain' }));
    expect((await client.ask('POST', '/v1/events', { body: { events } })).status).toBe(201);
  }
  const kept = await client.ask('GET', '/v1/events?session_id=plain&limit=1000');
  const data = kept.body.data as { content: { text: string }; metadata: { text: string }; sensitivity: string }[];
  expect(data.map(({ content, metadata, sensitivity }) => [content.text, metadata.text, sensitivity])).toEqual(
    texts.map((text) => [text, text, 'none']),
  );

  await world.checkpoint();
  await world.daemon.kill('SIGTERM');
  const needles = samples.flatMap(({ kind, secret }) =>
    (secret === pem ? pem.split('\n').filter((line) => line.length === 64) : [secret])
      .flatMap(formsOf)
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
  await world.end();
  expect(landed).toEqual([]);
}, 300_000);
