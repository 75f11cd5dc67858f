import { createRefusalCounts, MAX_PRINCIPALS, MAX_UNKNOWN_SOURCES, type Refusal } from '../../src/audit/refusals.ts';

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

test('refusals from any number of unauthenticated sources yield a bounded number of entries, and each is counted', () => {
  const refusalCounts = createRefusalCounts();
  for (let i = 0; i < 100_000; i += 1)
    refusalCounts.add(
      refusal({ address: `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, route: `GET /v1/${i % 50}`, status: i % 2 ? 401 : 429 }),
    );
  const [tenant, inputs] = refusalCounts.drain(acme, acme)[0]!;
  expect([tenant, inputs.length]).toEqual(['acme', MAX_UNKNOWN_SOURCES + 2]);
  expect(inputs.reduce((sum, { count }) => sum + count, 0)).toBe(100_000);
  expect(inputs.filter(({ route }) => route === '*')).toHaveLength(2);
  expect(refusalCounts.drain(acme, acme)).toEqual([]);
});

test('unauthenticated sources do not displace authenticated principals, whose number is bounded too', () => {
  const refusalCounts = createRefusalCounts();
  for (let i = 0; i < 1000; i += 1) refusalCounts.add(refusal({ address: `10.0.0.${i}` }));
  for (let i = 0; i < 1000; i += 1) refusalCounts.add(refusal({ principal: principal(i), status: 403 }));
  const [, inputs] = refusalCounts.drain(none, none)[0]!;
  const kinds = inputs.map(({ payload }) => payload.principal_kind);
  expect(kinds.filter((kind) => kind === 'user')).toHaveLength(MAX_PRINCIPALS);
  expect(kinds.filter((kind) => kind === 'others')).toHaveLength(1);
  expect(kinds.filter((kind) => kind === 'unknown')).toHaveLength(MAX_UNKNOWN_SOURCES);
});

test('tenants that only unauthenticated requests name are checked for existence, and later refusals wait for the next check', () => {
  const refusalCounts = createRefusalCounts();
  refusalCounts.add(refusal());
  refusalCounts.add(refusal({ tenant: 'made-up' }));
  const checked = new Set(refusalCounts.unverifiedTenants());
  expect(checked).toEqual(new Set(['acme', 'made-up']));
  refusalCounts.add(refusal({ tenant: 'later' }));
  expect(refusalCounts.drain(checked, acme).map(([tenant]) => tenant)).toEqual(['acme']);
  expect(refusalCounts.unverifiedTenants()).toEqual(['later']);
});

test('the number of remembered tenant names is bounded', () => {
  const refusalCounts = createRefusalCounts();
  for (let i = 0; i < 50_000; i += 1) refusalCounts.add(refusal({ tenant: `t${i}` }));
  expect(refusalCounts.unverifiedTenants().length).toBe(10_000);
  refusalCounts.add(refusal({ tenant: 'real', principal: principal(1) }));
  expect(refusalCounts.drain(none, none).map(([tenant]) => tenant)).toEqual(['real']);
});
