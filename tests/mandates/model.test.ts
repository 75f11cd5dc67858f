import fc from 'fast-check';
import { type Client, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { act, issue, settle, usageOf } from './support.ts';

// Random sequences of commands on a tree of delegated mandates, compared with a model after each command. MANDATE_RUNS sets the number of
// sequences. A kill with a resurrection ends all open actions, as their expiry does.

const RUNS = Number(process.env.MANDATE_RUNS ?? 6);
const SEED = Number(process.env.MANDATE_SEED ?? 20_261_201);

let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

interface Action {
  mandate: number;
  estimate: number;
  model: boolean;
  state: 'open' | 'lapsed' | 'settled';
  failed: boolean;
  charged: number;
}

interface Mandate {
  id: string;
  parent: number | undefined;
  limit: number | undefined;
  spent: number;
  reserved: number;
  calls: number;
}

type Charging = 'SUCCESS' | 'ATTEMPT';

/** The rules of docs/control.md, for sequences without concurrency. */
class Model {
  readonly mandates: Mandate[] = [];
  readonly actions = new Map<string, Action>();

  private readonly charging: Charging;

  constructor(charging: Charging) {
    this.charging = charging;
  }

  chainOf(mandate: number): Mandate[] {
    const own = this.mandates[mandate]!;
    return own.parent === undefined ? [own] : [own, ...this.chainOf(own.parent)];
  }

  room(mandate: number): number {
    return Math.min(...this.chainOf(mandate).map(({ limit = Infinity, spent, reserved }) => limit - spent - reserved));
  }

  private shift(mandate: number, spent: number, reserved: number, calls = 0): void {
    for (const one of this.chainOf(mandate)) {
      one.spent += spent;
      one.reserved += reserved;
      one.calls += calls;
    }
  }

  /** Returns the expected status. */
  authorise(id: string, mandate: number, estimate: number, model: boolean): number {
    const known = this.actions.get(id);
    if (known && (known.estimate !== estimate || known.model !== model)) return 409;
    if (known && !(known.state === 'settled' && known.failed && known.charged === 0)) return 201;
    if (this.room(mandate) < estimate) return 403;
    this.actions.set(id, { mandate, estimate, model, state: 'open', failed: false, charged: 0 });
    this.shift(mandate, 0, estimate, 1);
    return 201;
  }

  /** Returns the expected charge. */
  settle(id: string, success: boolean, actual: number): number {
    const action = this.actions.get(id)!;
    const charge = success || this.charging === 'ATTEMPT' ? actual : 0;
    this.shift(action.mandate, charge - action.charged, action.state === 'open' ? -action.estimate : 0);
    Object.assign(action, { state: 'settled', failed: !success, charged: charge });
    return charge;
  }

  lapse(): void {
    for (const action of this.actions.values()) {
      if (action.state !== 'open') continue;
      action.charged = action.model || this.charging === 'ATTEMPT' ? action.estimate : 0;
      action.state = 'lapsed';
      this.shift(action.mandate, action.charged, -action.estimate);
    }
  }

  usage(mandate: number) {
    const { spent, reserved, calls } = this.mandates[mandate]!;
    const room = this.room(mandate);
    return {
      spent_micros: spent,
      reserved_micros: reserved,
      calls,
      remaining_micros: room === Infinity ? null : Math.max(0, room),
      overdrawn_micros: room === Infinity ? 0 : Math.max(0, -room),
    };
  }
}

const amount = fc.integer({ min: 0, max: 60 });
const place = fc.nat({ max: 9 });
const command = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ do: fc.constant('authorise' as const), place, id: fc.nat({ max: 30 }), amount, model: fc.boolean() }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('settle' as const),
      id: fc.nat({ max: 30 }),
      success: fc.boolean(),
      amount: fc.option(fc.integer({ min: 0, max: 90 })),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('delegate' as const), place, limit: fc.option(amount) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('lapse' as const) }) },
);
type Command = typeof command extends fc.Arbitrary<infer T> ? T : never;

test('usage equals that of a model after every command', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom<Charging>('SUCCESS', 'ATTEMPT'),
      fc.option(fc.integer({ min: 20, max: 300 }), { nil: undefined }),
      fc.array(command, { minLength: 10, maxLength: 40 }),
      async (charging, limit, commands) => {
        alice = await newTenant(daemon.url);
        const model = new Model(charging);
        const root = await issue(alice, { charging, ...(limit !== undefined && { max_cost_total_micros: limit }) });
        model.mandates.push({ id: root.mandate_id, parent: undefined, limit, spent: 0, reserved: 0, calls: 0 });
        for (const one of commands) {
          await run(model, one);
          for (const [i, { id }] of model.mandates.entries())
            expect(await usageOf(alice, { mandate_id: id })).toEqual(model.usage(i));
        }
      },
    ),
    { seed: SEED, numRuns: RUNS },
  );
}, 600_000);

async function run(model: Model, one: Command): Promise<void> {
  const at = (n: number) => n % model.mandates.length;
  if (one.do === 'authorise') {
    // the ids of a mandate are its own
    const mandate = at(one.id);
    const id = `${mandate}/${one.id}`;
    const expected = model.authorise(id, mandate, one.amount, one.model);
    const kind = one.model ? { type: 'llm_call', model: 'm' } : {};
    const { status } = await act(alice, mandateAt(model, mandate), { action_id: id, estimate_micros: one.amount, ...kind });
    expect(status).toBe(expected);
  } else if (one.do === 'settle') {
    const id = [...model.actions.keys()].find((key) => key.endsWith(`/${one.id}`));
    const action = id === undefined ? undefined : model.actions.get(id)!;
    if (!action || action.state === 'settled') return;
    const late = action.state === 'lapsed';
    const charge = model.settle(id!, one.success, one.amount ?? action.estimate);
    const body = { outcome: one.success ? 'success' : 'failure', ...(one.amount !== null && { actual_micros: one.amount }) };
    const answer = await settle(alice, mandateAt(model, action.mandate), id!, body);
    expect([answer.status, answer.body.charged_micros, answer.body.late]).toEqual([200, charge, late ? true : undefined]);
    expect(answer.body.overdrawn_micros ?? 0).toBe(model.usage(action.mandate).overdrawn_micros);
  } else if (one.do === 'delegate') {
    const parent = at(one.place);
    if (model.mandates.length >= 5) return;
    const inherited = model.mandates[parent]!.limit;
    const given = one.limit === null ? undefined : Math.min(one.limit, inherited ?? Infinity);
    const path = `/v1/mandates/${model.mandates[parent]!.id}/delegate`;
    const { status, body } = await alice.request('POST', path, {
      body: given === undefined ? {} : { max_cost_total_micros: given },
    });
    expect(status).toBe(201);
    model.mandates.push({ id: body.mandate_id, parent, limit: given ?? inherited, spent: 0, reserved: 0, calls: 0 });
  } else {
    model.lapse();
    for (const change of ['kill', 'resurrect']) await alice.request('POST', `/v1/agents/planner/${change}`, { body: {} });
  }
}

const mandateAt = (model: Model, place: number) => ({ mandate_id: model.mandates[place]!.id });
