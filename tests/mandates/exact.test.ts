import { failedChecks } from '../export/file.ts';
import { type Client, newTenant, send } from '../support/client.ts';
import { killSpawned, type SpawnedDaemon, spawnDaemon } from '../support/daemon.ts';
import { daemonDatabase, describeOnServer } from '../support/database.ts';
import { act, issue, readAction, settle, usageOf } from './support.ts';

// Budgets are exact to the micro-unit: 200 concurrent actions of random cost over three daemons, of which one is killed in the middle.
// MANDATE_ROUNDS repeats it.

const ROUNDS = Number(process.env.MANDATE_ROUNDS ?? 1);
const ACTIONS = 200;
const LIMIT = 50_000;
const DAEMONS = 3;

type Row = Record<string, any>;

afterAll(killSpawned);

/** Returns numbers from 0 up to 1 that depend only on the seed (mulberry32). */
function randomOf(seed: number) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

describeOnServer('several daemons share its database', () => {
  test(
    'concurrent actions never exceed a limit, also if a daemon is killed',
    async () => {
      const database = await daemonDatabase();
      const daemons = await Promise.all(Array.from({ length: DAEMONS }, () => spawnDaemon(database.env)));
      try {
        for (let round = 0; round < ROUNDS; round += 1) await runRound(daemons, database.env, round);
      } finally {
        await Promise.all(daemons.map(({ kill }) => kill('SIGTERM')));
        await database.release();
      }
    },
    120_000 + ROUNDS * 60_000,
  );
});

async function runRound(daemons: SpawnedDaemon[], env: Record<string, string>, round: number) {
  const random = randomOf(round + 1);
  const alice = await newTenant(daemons[0]!.url);
  const at = (place: number): Client => ({
    ...alice,
    request: (method, path, options) => send(daemons[place % DAEMONS]!.url, method, path, options, alice.token),
  });
  const parent = await issue(alice, { max_cost_total_micros: LIMIT });
  const delegated = await Promise.all(
    [0.7, 0.6].map((share) =>
      alice.request('POST', `/v1/mandates/${parent.mandate_id}/delegate`, { body: { max_cost_total_micros: LIMIT * share } }),
    ),
  );
  const mandates = [parent, ...delegated.map(({ body }) => body)] as Row[];
  let exceeded = 0;
  const watching = watch(at(1), mandates, () => (exceeded += 1));
  const plan = Array.from({ length: ACTIONS }, (_, i) => ({
    mandate: mandates[i % mandates.length]!,
    action_id: `action ${i}`,
    estimate_micros: Math.floor(random() * 1000),
    share: random(),
    outcome: random() < 0.8 ? 'success' : 'failure',
    settles: random() < 0.9,
  }));
  const works = plan.map((one, i) => perform(at, i, one));
  const victim = 1 + (round % (DAEMONS - 1));
  await new Promise((resolve) => setTimeout(resolve, 50 + random() * 200));
  await daemons[victim]!.kill('SIGKILL');
  daemons[victim] = await spawnDaemon(env);
  const allowed = await Promise.all(works);
  await watching.stop();
  // ends what nobody settled
  await alice.request('POST', '/v1/agents/planner/kill', { body: { reason: 'end of the round' } });
  const charges: number[] = [];
  for (const [i, { mandate, action_id }] of plan.entries())
    charges.push(allowed[i] ? ((await readAction(at(i), mandate, action_id)).charged_micros ?? 0) : 0);
  for (const mandate of mandates) {
    const sum = plan.reduce((total, one, i) => total + (mandate === parent || one.mandate === mandate ? charges[i]! : 0), 0);
    const usage = await usageOf(at(0), mandate);
    expect(usage).toMatchObject({ spent_micros: sum, reserved_micros: 0, overdrawn_micros: 0 });
    expect(usage.spent_micros).toBeLessThanOrEqual(mandate.max_cost_total_micros);
  }
  const settled = plan.flatMap((one, i) =>
    one.settles && one.outcome === 'success' && charges[i]! > 0 ? [charges[i] === chargeOf(one)] : [],
  );
  expect([exceeded, settled.length > 20, settled.every(Boolean)]).toEqual([0, true, true]);
  expect(await failedChecks(alice)).toEqual([]);
}

const chargeOf = ({ estimate_micros, share }: { estimate_micros: number; share: number }) => Math.floor(estimate_micros * share);

/** Returns whether the action was allowed. Requests and settles it, again at another daemon until both are answered. Settles at or below the estimate. */
async function perform(
  at: (place: number) => Client,
  i: number,
  { mandate, action_id, estimate_micros, share, outcome, settles }: Row,
) {
  const asked = await insist(at, i, (client) => act(client, mandate, { action_id, estimate_micros, lease_ms: 600_000 }));
  if (asked.status !== 201) {
    expect([asked.status, asked.body.code]).toEqual([403, 'COST_LIMIT_EXCEEDED']);
    return false;
  }
  if (!settles) return true;
  const actual_micros = chargeOf({ estimate_micros, share } as { estimate_micros: number; share: number });
  const answer = await insist(at, i + 1, (client) => settle(client, mandate, action_id, { outcome, actual_micros }));
  expect(answer.body).toMatchObject({ charged_micros: outcome === 'success' ? actual_micros : 0 });
  return true;
}

async function insist<T extends { status: number }>(
  at: (place: number) => Client,
  first: number,
  work: (client: Client) => Promise<T>,
): Promise<T> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const answer = await work(at(first + attempt)).catch(() => undefined);
    // on an overloaded machine, the body of a request can arrive too late
    if (answer && answer.status < 500 && answer.status !== 408) return answer;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('no daemon answered');
}

/** Reads the usage of the mandates until it is stopped, and reports each that exceeds its limit. */
function watch(client: Client, mandates: Row[], report: () => void) {
  let stopped = false;
  const reading = (async () => {
    while (!stopped)
      for (const mandate of mandates) {
        const usage = await usageOf(client, mandate).catch(() => undefined);
        if (usage && usage.spent_micros + usage.reserved_micros > mandate.max_cost_total_micros) report();
      }
  })();
  return {
    stop: () => {
      stopped = true;
      return reading;
    },
  };
}
