import { message, newTenant, send } from '../support/client.ts';
import { spawnDaemon } from '../support/daemon.ts';
import { daemonDatabase, onEmbedded } from '../support/database.ts';
import { readEvents } from '../support/sse.ts';

// D2: a follower misses nothing. 8 writers, one follower that reconnects 20 times with Last-Event-ID, two daemons, one restart.

const WRITERS = 8;
const PER_WRITER = 120;
const RECONNECTS = 20;

test('D2 a follower that reconnects 20 times sees every seq once, in order (two daemons on PostgreSQL, one on the embedded engine)', async () => {
  const database = await daemonDatabase();
  let first = await spawnDaemon(database.env);
  const second = onEmbedded() ? undefined : await spawnDaemon(database.env);
  const port = new URL(first.url).port;
  const urls = [first.url, second?.url ?? first.url];
  const { token } = await newTenant(first.url);
  const total = WRITERS * PER_WRITER;

  const write = async (w: number) => {
    for (let n = 0; n < PER_WRITER; n += 1) {
      const headers = { 'idempotency-key': `${w}-${n}` };
      for (let tries = 0; ; tries += 1) {
        const answer = await send(
          urls[(w + tries) % 2]!,
          'POST',
          '/v1/events',
          { body: message(`${w} ${n}`), headers },
          token,
        ).catch(() => undefined);
        if (answer?.status === 201) break;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  };

  const seen: number[] = [];
  const follow = async () => {
    let last = '0';
    for (let connection = 0; seen.length < total; connection += 1) {
      const abort = new AbortController();
      // every connection except the last ones is closed after its share of events
      const share = connection < RECONNECTS ? Math.ceil(total / (RECONNECTS + 1)) : total;
      let got = 0;
      try {
        const response = await fetch(`${urls[connection % 2]}/v1/events`, {
          headers: { accept: 'text/event-stream', authorization: `Bearer ${token}`, 'last-event-id': last },
          signal: abort.signal,
        });
        for await (const { id, event, data } of readEvents(response)) {
          if (id) last = id;
          if (!event || !data) continue;
          seen.push(JSON.parse(data).seq);
          expect(String(seen.at(-1))).toBe(id);
          got += 1;
          if (got >= share || seen.length >= total) break;
        }
      } catch (error) {
        if (error instanceof Error && error.name === 'JestAssertionError') throw error;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      abort.abort();
    }
  };

  const restart = async () => {
    await new Promise((resolve) => setTimeout(resolve, 400));
    await first.kill('SIGTERM');
    first = await spawnDaemon(database.env, { PORT: port });
  };

  await Promise.all([follow(), restart(), ...Array.from({ length: WRITERS }, (_, w) => write(w))]);
  expect(seen).toEqual(Array.from({ length: total }, (_, i) => i + 1));
  await first.kill('SIGTERM');
  await second?.kill('SIGTERM');
  await database.release();
}, 120_000);
