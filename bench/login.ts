import { setTimeout as sleep } from 'node:timers/promises';
import { messages } from './dialogue.ts';
import { request } from './load.ts';
import type { Figure } from './report.ts';
import { median, quantile } from './rounds.ts';
import { PASSWORD, type World } from './world.ts';

const ROUNDS = 5;
const SECONDS = 3;
const LOGINS_AT_ONCE = 8;

/** Measures the effect of logins on other requests: p99 of GET by id at a moderate load, alternately with and without logins. */
export async function measureLogin(world: World): Promise<Figure[]> {
  const { url } = await world.daemon('one');
  const headers = await world.tenant('login');
  const written = await fetch(`${url}/v1/events`, {
    method: 'POST',
    headers: { ...headers, 'Content-Type': 'application/json' },
    body: JSON.stringify(messages[0]),
  });
  const { event_id } = (await written.json()) as { event_id: string };
  const requests = [request('GET', `/v1/events/${event_id}`, headers)];
  const p99 = async () => {
    const { latencies } = await world.generator.run({ urls: [url], connections: 8, seconds: SECONDS, requests, pause_ms: 10 });
    return quantile(latencies, 0.99);
  };
  await p99();
  const idle: number[] = [];
  const busy: number[] = [];
  let logins = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    idle.push(await p99());
    const crowd = startLogins(url, LOGINS_AT_ONCE);
    await sleep(200);
    busy.push(await p99());
    logins += await crowd.stop();
  }
  return [
    {
      part: 'login',
      name: `p99 of other requests during logins (${LOGINS_AT_ONCE} at once, bcrypt cost 10) ÷ idle`,
      value: median(busy.map((ms, i) => ms / idle[i]!)),
      unit: '',
      goal: { max: 3 },
      note: `${median(busy).toFixed(1)} ms ÷ ${median(idle).toFixed(1)} ms, ${(logins / ROUNDS / SECONDS).toFixed(0)} logins/s`,
    },
  ];
}

function startLogins(url: string, count: number): { stop(): Promise<number> } {
  let over = false;
  let done = 0;
  const one = async () => {
    while (!over) {
      const answer = await fetch(`${url}/auth/login`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ username: 'bench', password: PASSWORD, tenant_id: 'login' }),
      });
      if (answer.status !== 200) throw new Error(`login: ${answer.status} ${await answer.text()}`);
      await answer.arrayBuffer();
      done += 1;
    }
  };
  const crowd = Promise.all(Array.from({ length: count }, one));
  return {
    stop: async () => {
      over = true;
      await crowd;
      return done;
    },
  };
}
