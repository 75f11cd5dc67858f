import { createTally, MAX_PRINCIPALS, MAX_STRANGERS, type Refusal } from '../../src/audit/tally.ts';

const refusal = (more: Partial<Refusal> = {}): Refusal => ({
  tenant: 'acme',
  principal: null,
  address: '192.0.2.1',
  route: 'POST /auth/login',
  status: 401,
  request_id: 'r',
  at: '2026-01-01T00:00:00.000Z',
  ...more,
});
const none = new Set<string>();
const acme = new Set(['acme']);
const principal = (n: number) => ({ id: `usr_${n}`, kind: 'user', user_id: `usr_${n}` });

test('strangers from any number of addresses make a bounded number of entries, and each refusal counts', () => {
  const tally = createTally();
  for (let i = 0; i < 100_000; i += 1)
    tally.add(
      refusal({ address: `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, route: `GET /v1/${i % 50}`, status: i % 2 ? 401 : 429 }),
    );
  const [tenant, drafts] = tally.take(acme, acme)[0]!;
  expect([tenant, drafts.length]).toEqual(['acme', MAX_STRANGERS + 2]);
  expect(drafts.reduce((sum, { count }) => sum + count, 0)).toBe(100_000);
  expect(drafts.filter(({ route }) => route === '*')).toHaveLength(2);
  expect(tally.take(acme, acme)).toEqual([]);
});

test('they take no place from those who are known, who are bounded too', () => {
  const tally = createTally();
  for (let i = 0; i < 1000; i += 1) tally.add(refusal({ address: `10.0.0.${i}` }));
  for (let i = 0; i < 1000; i += 1) tally.add(refusal({ principal: principal(i), status: 403 }));
  const [, drafts] = tally.take(none, none)[0]!;
  const kinds = drafts.map(({ payload }) => payload.principal_kind);
  expect(kinds.filter((kind) => kind === 'user')).toHaveLength(MAX_PRINCIPALS);
  expect(kinds.filter((kind) => kind === 'others')).toHaveLength(1);
  expect(kinds.filter((kind) => kind === 'unknown')).toHaveLength(MAX_STRANGERS);
});

test('tenants that only strangers name are asked for, and what came after the question waits for the next', () => {
  const tally = createTally();
  tally.add(refusal());
  tally.add(refusal({ tenant: 'made-up' }));
  const asked = new Set(tally.unproven());
  expect(asked).toEqual(new Set(['acme', 'made-up']));
  tally.add(refusal({ tenant: 'later' }));
  expect(tally.take(asked, acme).map(([tenant]) => tenant)).toEqual(['acme']);
  expect(tally.unproven()).toEqual(['later']);
});

test('names of tenants beyond bounds are not remembered', () => {
  const tally = createTally();
  for (let i = 0; i < 50_000; i += 1) tally.add(refusal({ tenant: `t${i}` }));
  expect(tally.unproven().length).toBe(10_000);
  tally.add(refusal({ tenant: 'real', principal: principal(1) }));
  expect(tally.take(none, none).map(([tenant]) => tenant)).toEqual(['real']);
});
