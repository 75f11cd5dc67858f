import { MARK, messages } from './dialogue.ts';
import { request } from './load.ts';
import type { Figure } from './report.ts';
import { alternate, ratioFigure } from './rounds.ts';
import type { World } from './world.ts';

/** Measures mixed writes of one tenant on one and on two daemons. Eight in ten requests write one event, one writes 20, one an artifact of 4 KiB. */
export async function measureMixed(world: World): Promise<Figure[]> {
  const [one, two] = [await world.daemon('one'), await world.daemon('two')];
  const headers = await world.tenant('mixed');
  const keyed = { ...headers, 'Idempotency-Key': `key-${MARK}` };
  const requests = [
    ...messages.map((message) => request('POST', '/v1/events', keyed, message)),
    request('POST', '/v1/events', keyed, { events: Array.from({ length: 20 }, (_, i) => messages[i % messages.length]) }),
    request('POST', '/v1/artifacts?channel=team', keyed, `${MARK}${'0123456789abcdef'.repeat(256)}`),
  ];
  const write = (urls: string[]) => (seconds: number) =>
    world.generator.rate({ urls, connections: 64, seconds, requests }, '201');
  const rates = await alternate(
    [
      { name: 'one', run: write([one.url]) },
      { name: 'two', run: write([one.url, two.url]) },
    ],
    5,
    2,
  );
  await assertDense(world);
  return [
    ratioFigure(rates, 'mixed', 'mixed writes of one tenant on two daemons ÷ on one (requests/s)', 'two', 'one', { min: 1 }),
  ];
}

async function assertDense(world: World): Promise<void> {
  const { rows } = await world.sql((client) =>
    client.query<{ gaps: string }>(
      `select c.last_seq - count(e.seq) as gaps
      from tenant_clocks c left join events e on e.tenant_id = c.tenant_id
      where c.tenant_id = 'mixed'
      group by c.last_seq`,
    ),
  );
  if (Number(rows[0]?.gaps) !== 0) throw new Error(`the log of 'mixed' has ${rows[0]?.gaps} gaps`);
}
