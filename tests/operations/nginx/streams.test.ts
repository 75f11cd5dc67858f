import { Agent, request } from 'node:https';
import { type Client, message, newTenant } from '../../support/client.ts';
import { describeWith } from '../../support/tool.ts';
import { type Edge, reload, requestEdge, startEdge, until } from './edge.ts';

/** The received part of a stream, with times. */
interface Following {
  text: string;
  status?: number;
  ended: boolean;
  close(): void;
}

function follow({ https, ca }: Edge, token: string, headers: Record<string, string> = {}): Following {
  const following: Following = { text: '', ended: false, close: () => req.destroy() };
  const accept = { accept: 'text/event-stream', authorization: `Bearer ${token}`, ...headers };
  const req = request(`${https}/v1/events`, { headers: accept, ca, agent: new Agent({ ca }) }, (res) => {
    following.status = res.statusCode!;
    res.setEncoding('utf8').on('data', (part) => {
      following.text += part;
    });
    res
      .on('error', () => undefined)
      .once('close', () => {
        following.ended = true;
      });
  });
  req.on('error', () => undefined).end();
  return following;
}

describeWith(['nginx', 'openssl'], 'nginx: streams', () => {
  let edge: Edge;
  let owner: Client;
  beforeAll(async () => {
    edge = await startEdge();
    owner = await newTenant(edge.operator);
  }, 120_000);
  afterAll(() => edge?.stop());

  const record = async (text: string) => {
    const { status, body } = await owner.request('POST', '/v1/events', { body: message(text) });
    expect(status).toBe(201);
    return body.seq as number;
  };

  test('events and heartbeats reach a follower at once, and a reload does not end the stream', async () => {
    const following = follow(edge, owner.token);
    await until(() => following.text.includes('retry: 1000'), 'the stream opens', 5000);
    await record('first words');
    await until(() => following.text.includes('first words'), 'the event arrives while the stream is open', 5000);
    reload(edge);
    await until(
      () => following.text.split(': alive').length > 2,
      'two heartbeats: it outlasts the 15 s of other requests',
      40_000,
    );
    const seq = await record('after the reload');
    await until(() => following.text.includes('after the reload'), 'the old worker still passes events on', 5000);
    expect([following.status, following.ended]).toEqual([200, false]);
    following.close();

    // Another connection, handled by another worker and possibly the other daemon.
    const resumed = follow(edge, owner.token, { 'last-event-id': String(seq - 1) });
    await until(() => resumed.text.includes('after the reload'), 'it resumes where the first one stood', 5000);
    expect(resumed.text).not.toContain('first words');
    resumed.close();
  });

  test('an export passes through nginx, and an import that nginx does not buffer', async () => {
    await record('to be taken along');
    const exported = await requestEdge(edge, '/v1/export', { headers: { authorization: `Bearer ${owner.token}` } });
    expect([exported.status, exported.headers['content-type']]).toEqual([200, 'application/x-ndjson']);
    expect(exported.text).toContain('to be taken along');

    const other = await newTenant(edge.operator);
    const headers = { authorization: `Bearer ${other.token}`, 'content-type': 'application/x-ndjson' };
    const imported = await requestEdge(edge, '/v1/import', { method: 'POST', headers, body: exported.text });
    expect([imported.status, imported.text]).toEqual([202, expect.stringContaining('job_id')]);
    const { body } = await other.request('GET', '/v1/events?limit=100');
    expect(JSON.stringify(body)).toContain('to be taken along');
  });

  test('Accept requests a stream only where one exists', async () => {
    const headers = { accept: 'text/event-stream' };
    // A location of its own, with its own limits.
    expect((await requestEdge(edge, '/auth/login', { method: 'POST', headers, body: 'x'.repeat(17_000) })).status).toBe(413);
    expect((await requestEdge(edge, '/metrics', { headers })).status).toBe(404);
  });
});
