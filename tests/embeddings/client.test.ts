import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeWith } from '../support/tool.ts';
import { DIMENSION, type ModelServer, startModelServer, vectorOf } from './model_server.ts';
import { openModelsAt } from './open_models.ts';

// The clients of both endpoints against a server that misbehaves.

let server: ModelServer;
beforeEach(async () => {
  server = await startModelServer();
});
afterEach(() => server.kill());

const open = (overrides: Record<string, string> = {}) => openModelsAt(server.url, overrides);

const json = (value: unknown): string => JSON.stringify(value);
const directionOf = (numbers: number[]) => {
  const largest = Math.max(...numbers.map(Math.abs));
  return numbers.map((number) => Math.round((number / largest) * 127));
};

test('embeds passages and queries with their prefixes, whatever the order of the answer', async () => {
  const { models, embed } = open();
  const [a, b] = await embed(['a cat', 'a ship']);
  expect([...a!]).toEqual(directionOf(vectorOf('a cat')));
  expect([...b!]).toEqual(directionOf(vectorOf('a ship')));
  expect(await models.embedQuery!('tnt_a', 'a boat')).toEqual([{ model: 'model-a 64', vector: b }]);
  expect(server.asked.map(({ path, body }) => [path, body])).toEqual([
    ['/v1/embeddings', { model: 'model-a', input: ['passage: a cat', 'passage: a ship'], encoding_format: 'float' }],
    ['/v1/embeddings', { model: 'model-a', input: ['query: a boat'], encoding_format: 'float' }],
  ]);
  expect(server.asked[0]!.headers.authorization).toBe('Bearer sk-very-secret');
});

test.each([
  ['', '/v1/embeddings'],
  ['/v1', '/v1/embeddings'],
  ['/openai/v1/', '/openai/v1/embeddings'],
  ['/v1/embeddings', '/v1/embeddings'],
])('a URL with the path %p is called at %s', async (path, called) => {
  const { models } = open({ EMBEDDINGS_URL: server.url + path });
  server.behave((asked, res) => {
    res.end(json({ data: [{ embedding: vectorOf(asked.body.input![0]!) }] }));
    return true;
  });
  await models.embedQuery!('tnt_a', 'a cat');
  expect(server.asked[0]!.path).toBe(called);
});

test('a vector is cached by its text, for queries and passages apart, and the hits are counted', async () => {
  const { models, embed, figure } = open();
  await embed(['a cat', 'a dog']);
  await embed(['a dog', 'a fox']);
  await models.embedQuery!('tnt_a', 'a cat');
  await models.embedQuery!('tnt_a', 'a cat');
  expect(server.asked.map(({ body }) => body.input)).toEqual([
    ['passage: a cat', 'passage: a dog'],
    ['passage: a fox'],
    ['query: a cat'],
  ]);
  expect(await figure('agent_memory_embeddings_cache_hits_total')).toBe(2);
  expect(await figure('agent_memory_embeddings_cache_misses_total')).toBe(4);
});

test('neither another tenant nor the other purpose finds a vector in the cache', async () => {
  const prefixes = { EMBEDDINGS_QUERY_PREFIX: '', EMBEDDINGS_PASSAGE_PREFIX: '' };
  const { models, embed, figure } = open(prefixes);
  await embed(['a cat']);
  await embed(['a cat'], 'tnt_b');
  await models.embedQuery!('tnt_a', 'a cat');
  await models.embedQuery!('tnt_b', 'a cat');
  expect(server.asked).toHaveLength(4);
  expect(await figure('agent_memory_embeddings_cache_hits_total')).toBe(0);
});

const wrong: [string, string, RegExp][] = [
  ['no JSON', '<html>', /not JSON/],
  ['another object', '{"ok":true}', /not one of \/v1\/embeddings/],
  ['too few vectors', json({ data: [] }), /0 vectors instead of 1/],
  ['a wrong dimension', json({ data: [{ embedding: [1, 2] }] }), /2 components instead of 64/],
  ['a number that is none', json({ data: [{ embedding: new Array(DIMENSION).fill(null) }] }), /not a number/],
  [
    'a number that is infinite',
    json({ data: [{ embedding: new Array(DIMENSION).fill(0) }] }).replace('[0,', '[1e999,'),
    /not a number/,
  ],
  ['a zero vector', json({ data: [{ embedding: new Array(DIMENSION).fill(0) }] }), /zero/],
  ['an index that is not of the input', json({ data: [{ index: 7, embedding: vectorOf('x') }] }), /no vector for input 0/],
  ['a huge body', json({ data: [], padding: 'x'.repeat(200_000) }), /more than \d+ bytes/],
];
test.each(wrong)('rejects an answer with %s', async (_, body, message) => {
  const { models, embed } = open();
  server.behave((_asked, res) => {
    res.end(body);
    return true;
  });
  await expect(embed(['a cat'])).rejects.toThrow(message);
  expect(await models.embedQuery!('tnt_a', 'a cat')).toBeNull();
});

test('an endless answer is cut off', async () => {
  const { embed } = open();
  let closed = false;
  server.behave(async (_, res) => {
    res.on('close', () => {
      closed = true;
    });
    while (!closed) if (!res.write('[1'.repeat(10_000))) await new Promise((resolve) => setTimeout(resolve, 5));
    return true;
  });
  await expect(embed(['a cat'])).rejects.toThrow(/more than \d+ bytes/);
});

test('a redirect is not followed', async () => {
  const { embed } = open();
  server.behave((_, res) => {
    res.writeHead(307, { location: `${server.url}/v1/embeddings` }).end();
    return true;
  });
  await expect(embed(['a cat'])).rejects.toThrow('answered 307 (redirects are not followed)');
  expect(server.asked).toHaveLength(1);
});

test('a request is retried, and Retry-After is waited for', async () => {
  const { embed } = open({ EMBEDDINGS_MAX_RETRIES: '2' });
  const at: number[] = [];
  server.behave((_, res, nth) => {
    at.push(performance.now());
    if (nth === 1) res.writeHead(429, { 'retry-after': '1' }).end();
    else if (nth === 2) res.writeHead(500).end();
    else return false;
    return true;
  });
  await embed(['a cat']);
  expect(at).toHaveLength(3);
  expect(at[1]! - at[0]!).toBeGreaterThan(990);
});

test('a request is not retried if the endpoint asks for a longer wait than a minute', async () => {
  const { embed } = open({ EMBEDDINGS_MAX_RETRIES: '5' });
  server.behave((_, res) => {
    res.writeHead(503, { 'retry-after': '3600' }).end();
    return true;
  });
  await expect(embed(['a cat'])).rejects.toThrow('answered 503');
  expect(server.asked).toHaveLength(1);
});

test('a text that the endpoint refuses is found among a batch, and does not open the breaker', async () => {
  const { embed, figure } = open({ BREAKER_FAILURE_THRESHOLD: '1' });
  server.behave(({ body }, res) => {
    if (!body.input!.some((text) => text.includes('poison'))) return false;
    res.writeHead(400).end();
    return true;
  });
  const vectors = await embed(['a cat', 'some poison', 'a dog', 'a fox', 'a cow']);
  expect(vectors.map((vector) => vector !== null)).toEqual([true, false, true, true, true]);
  expect(await figure('agent_memory_embeddings_passages_breaker_state')).toBe(0);
});

test('a text at which the endpoint fails is left out after its retries, whatever the limit of the breaker', async () => {
  const { models, embed, figure } = open({ BREAKER_FAILURE_THRESHOLD: '1', EMBEDDINGS_MAX_RETRIES: '1' });
  server.behave(({ body }, res) => body.input!.some((text) => text.includes('poison')) && Boolean(res.writeHead(500).end()));
  const vectors = await embed(['a cat', 'some poison', 'a dog']);
  expect(vectors.map((vector) => vector !== null)).toEqual([true, false, true]);
  expect(await figure('agent_memory_embeddings_passages_breaker_state')).toBe(0);
  expect(await models.embedQuery!('tnt_a', 'a cat')).not.toBeNull();
});

test.each([500, 503])('an endpoint that answers %i to every passage is unavailable, and queries continue', async (status) => {
  const { models, embed, figure } = open({ BREAKER_FAILURE_THRESHOLD: '1' });
  server.behave(({ body }, res) => body.input![0]!.startsWith('passage') && Boolean(res.writeHead(status).end()));
  await expect(embed(['a cat', 'a dog'])).rejects.toThrow(`answered ${status}`);
  expect(await figure('agent_memory_embeddings_passages_breaker_state')).toBe(1);
  expect(await models.embedQuery!('tnt_a', 'a cat')).not.toBeNull();
});

test('an endpoint that asks to wait is unavailable, and its text does not count as refused', async () => {
  const { embed } = open();
  server.behave((_, res, nth) => nth === 1 && Boolean(res.writeHead(503, { 'retry-after': '1' }).end()));
  await expect(embed(['a cat'])).rejects.toThrow('answered 503');
});

test('an endpoint that refuses everything is unavailable, and no text counts as refused', async () => {
  const { embed } = open();
  server.behave((_, res) => {
    res.writeHead(400).end();
    return true;
  });
  await expect(embed(['a cat', 'a dog'])).rejects.toThrow('answered 400');
});

test('no log line contains the key or a text', async () => {
  const { models, lines } = open({ BREAKER_FAILURE_THRESHOLD: '2' });
  server.behave((_, res) => Boolean(res.writeHead(401).end('bad key sk-very-secret')));
  for (const text of ['the plan', 'the plan', 'the plan']) await models.embedQuery!('tnt_a', text);
  await models.rerank!('the plan', ['x', 'y']);
  expect(lines.join('')).toContain('the circuit breaker of EMBEDDINGS_URL is open');
  expect(lines.join('')).not.toMatch(/sk-very-secret|the plan/);
});

test('reranks by the scores, and rejects what is not one of its answers', async () => {
  const { models } = open();
  expect(await models.rerank!('a boat', ['a cat', 'the ship', 'a boat at sea'])).toEqual(
    [2, 0, 1].sort(() => 0) && expect.any(Array),
  );
  expect(server.asked[0]).toMatchObject({ path: '/rerank', body: { query: 'a boat', top_n: 3 } });
  const answers: [unknown, number[] | null][] = [
    [
      {
        results: [
          { index: 1, relevance_score: 0.9 },
          { index: 0, relevance_score: 0.1 },
        ],
      },
      [1, 0],
    ],
    [
      [
        { index: 0, score: 0.2 },
        { index: 1, score: 0.7 },
      ],
      [1, 0],
    ],
    [{ results: [{ index: 1, relevance_score: 0.9 }] }, [1]],
    [{ results: [{ index: 2, relevance_score: 0.9 }] }, null],
    [
      {
        results: [
          { index: 1, relevance_score: 0.9 },
          { index: 1, relevance_score: 0.8 },
        ],
      },
      null,
    ],
    [{ results: [{ index: 1 }] }, null],
    ['no', null],
  ];
  for (const [value, order] of answers) {
    server.behave((_, res) => Boolean(res.end(json(value))));
    expect(await models.rerank!('a boat', ['x', 'y'])).toEqual(order);
    models.reset();
  }
});

describeWith(['openssl'], 'TLS', () => {
  let secure: ModelServer;
  let cert: string;
  beforeAll(async () => {
    const dir = mkdtempSync(join(tmpdir(), 'model-tls-'));
    const [certFile, keyFile] = [join(dir, 'cert.pem'), join(dir, 'key.pem')];
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'];
    execFileSync(
      'openssl',
      [
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:P-256',
        '-nodes',
        '-days',
        '2',
        ...subject,
        '-keyout',
        keyFile,
        '-out',
        certFile,
      ],
      { stdio: 'ignore' },
    );
    cert = certFile;
    secure = await startModelServer({ cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') });
  });
  afterAll(() => secure.kill());

  test('a certificate is verified, by MODEL_CA_FILE if it is set, unless MODEL_TLS_VERIFY is false', async () => {
    const answered = async (overrides: Record<string, string>) =>
      (await open({ EMBEDDINGS_URL: secure.url, ...overrides }).models.embedQuery!('tnt_a', 'a')) !== null;
    expect(await answered({})).toBe(false);
    expect(await answered({ MODEL_CA_FILE: cert })).toBe(true);
    expect(await answered({ MODEL_TLS_VERIFY: 'false' })).toBe(true);
  });
});
