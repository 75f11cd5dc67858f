import fc from 'fast-check';
import { evaluate } from '../../src/mandates/evaluate.ts';
import { matches } from '../../src/mandates/globs.ts';
import type { Definition } from '../../src/mandates/index.ts';
import { compose, DENY_ALL, strictestRate } from '../../src/policies/compose.ts';
import { intersect, intersectLists } from '../../src/policies/intersect.ts';

// Composition of policies: the composed mandate never allows what one of its policies refuses.

const effort = () => ({ steps: 0 });
const of = (...definitions: Definition[]) =>
  compose(definitions.map((definition, i) => ({ policy_id: `pol_${i}`, definition, expires_in_ms: 300_000 })));

const letter = fc.constantFrom('a', 'b');
const text = fc.array(letter, { maxLength: 7 }).map((letters) => letters.join(''));
const pattern = fc.array(fc.constantFrom('a', 'b', '*'), { minLength: 1, maxLength: 6 }).map((parts) => parts.join(''));
const patterns = fc.array(pattern, { maxLength: 3 });
const rate = fc.record({ max_calls: fc.integer({ min: 0, max: 12 }), window_ms: fc.integer({ min: 1, max: 40 }) });
const micros = fc.integer({ min: 0, max: 5 });
const definition: fc.Arbitrary<Definition> = fc.record(
  {
    max_cost_per_call_micros: micros,
    max_cost_total_micros: micros,
    allowed_tools: patterns,
    denied_tools: patterns,
    rate_limit: rate,
    strict_tools: fc.boolean(),
    approval_ttl_ms: fc.integer({ min: 100, max: 200 }),
    on_expiry: fc.constantFrom('charge' as const, 'return' as const),
    charging: fc.constantFrom('SUCCESS' as const, 'ATTEMPT' as const),
    tool_policies: fc.dictionary(
      pattern,
      fc.record(
        {
          max_cost_per_call_micros: micros,
          rate_limit: rate,
          lease_ms: fc.integer({ min: 100, max: 200 }),
          require_approval: fc.boolean(),
          verify: fc.boolean(),
        },
        { requiredKeys: [] },
      ),
      { maxKeys: 3 },
    ),
  },
  { requiredKeys: [] },
);

test('the intersection of two patterns matches exactly the texts that both match', () => {
  fc.assert(
    fc.property(pattern, pattern, text, (one, other, tool) => {
      const both = matches(one, tool) && matches(other, tool);
      expect(intersect(one, other, effort()).some((each) => matches(each, tool))).toBe(both);
    }),
    { numRuns: 3_000 },
  );
});

test('known intersections', () => {
  expect(intersectLists(['read_*', 'list_*'], ['*_users', 'read_*_sync'], effort()).sort()).toEqual([
    'list_*_users',
    'list_users',
    'read_*_sync',
    'read_*_users',
    'read_users',
  ]);
  expect(intersectLists(['read_*'], ['write_*'], effort())).toEqual([]);
  expect(intersectLists(['*'], ['a', 'b*'], effort())).toEqual(['a', 'b*']);
});

test('patterns that would take long to intersect are refused', () => {
  const long = (letters: string) => `*${[...letters].join('*')}*`;
  expect(() => intersect(long('ab'.repeat(12)), long('cd'.repeat(12)), effort())).toThrow(/too complex|more than 64/);
});

/** The calls that a sliding limit admits of these times. */
function admitted(times: number[], { max_calls, window_ms }: { max_calls: number; window_ms: number }): number[] {
  const taken: number[] = [];
  for (const at of times) if (taken.filter((one) => one > at - window_ms).length < max_calls) taken.push(at);
  return taken;
}

test('calls that a composed rate admits are admitted by each of its rates', () => {
  const times = fc.array(fc.integer({ min: 0, max: 120 }), { maxLength: 60 }).map((all) => all.sort((a, b) => a - b));
  fc.assert(
    fc.property(rate, rate, times, (one, other, calls) => {
      const taken = admitted(calls, strictestRate(one, other));
      expect([admitted(taken, one), admitted(taken, other)]).toEqual([taken, taken]);
    }),
    { numRuns: 3_000 },
  );
});

test('a composed rate is the stricter one per time, whichever window is shorter, and keeps the smaller burst', () => {
  const hourly = { max_calls: 100, window_ms: 3_600_000 };
  expect(strictestRate({ max_calls: 100, window_ms: 60_000 }, hourly)).toEqual(hourly);
  expect(strictestRate(hourly, { max_calls: 5, window_ms: 60_000 })).toEqual({ max_calls: 5, window_ms: 180_000 });
  expect(strictestRate({ max_calls: 60, window_ms: 60 }, { max_calls: 100, window_ms: 1_000 })).toEqual({
    max_calls: 50,
    window_ms: 500,
  });
  expect(strictestRate({ max_calls: 0, window_ms: 5 }, hourly)).toEqual({ max_calls: 0, window_ms: 3_600_000 });
});

const link = (terms: Definition) => ({ mandate_id: 'man_1', definition: terms, argsCheckOf: () => undefined });

test('an action that the composed mandate permits is permitted by each policy, for no less cost and no looser a rate', () => {
  fc.assert(
    fc.property(fc.array(definition, { minLength: 1, maxLength: 4 }), text, micros, (all, tool, estimate_micros) => {
      const composed = of(...all);
      const action = { action_id: 'a', type: 'tool_call' as const, tool, estimate_micros };
      const result = evaluate([link(composed)], action);
      for (const one of all) {
        const own = evaluate([link(one)], action);
        if (own.early || own.per_call) expect(result.early ?? result.per_call).toBeDefined();
        if (result.early || result.per_call) continue;
        expect(result.reserve).toBeGreaterThanOrEqual(own.reserve);
        expect(result.ttl_ms).toBeLessThanOrEqual(result.decision === own.decision ? own.ttl_ms : Number.POSITIVE_INFINITY);
        if (own.decision === 'defer') expect(result.decision).toBe('defer');
        if (own.terms.verify) expect(result.terms.verify).toBe(true);
        expect(result.terms.lapse_micros).toBeGreaterThanOrEqual(own.terms.lapse_micros);
        expect(composed.max_cost_total_micros ?? Number.POSITIVE_INFINITY).toBeLessThanOrEqual(
          one.max_cost_total_micros ?? Number.POSITIVE_INFINITY,
        );
        for (const { entry, ...limit } of [...own.tool_rates, ...own.agent_rates]) {
          const same = [...result.tool_rates, ...result.agent_rates].find((each) => each.entry === entry)!;
          expect(same.max_calls * Math.ceil(limit.window_ms / same.window_ms)).toBeLessThanOrEqual(limit.max_calls);
        }
      }
    }),
    { numRuns: 2_000 },
  );
});

test('no policy denies every tool and every model call, also free ones', () => {
  const composed = compose([]);
  expect(composed).toBe(DENY_ALL);
  const tool = evaluate([link(composed)], { action_id: 'a', type: 'tool_call', tool: 'x', estimate_micros: 0 });
  expect(tool.early?.members?.code).toBe('TOOL_DENIED');
  const model = evaluate([link(composed)], { action_id: 'b', type: 'llm_call', model: 'm', estimate_micros: 0 });
  expect(model.agent_rates).toMatchObject([{ max_calls: 0 }]);
});

test.each([
  ['currency', { currency: 'USD' }, { currency: 'EUR' }],
  ['pricing', { pricing: { m: price(1) } }, { pricing: { m: price(2) } }],
  ['charging', { charging: { custom: 'x' } }, {}],
  ['charging', { tool_policies: { x: { charging: 'SUCCESS' as const } } }, { charging: 'ATTEMPT' as const }],
  [
    'args_schema of x',
    { tool_policies: { x: { args_schema: {} } } },
    { tool_policies: { x: { args_schema: { type: 'object' } } } },
  ],
])('policies that differ in %s cannot be composed', (field, one: Definition, other: Definition) => {
  expect(() => of(one, other)).toThrow(`differ in ${field}`);
  expect(of(one, one)).toMatchObject(one);
});

function price(input: number) {
  return { input_micros_per_million: input, output_micros_per_million: 1 };
}
