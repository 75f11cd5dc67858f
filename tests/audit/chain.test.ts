import fc from 'fast-check';
import { createAppender } from '../../src/audit/append.ts';
import type { EntryInput } from '../../src/audit/chain.ts';
import { headOf, openAudit, openKeys, verifyTenant } from '../../src/audit/index.ts';
import { createLogger } from '../../src/log.ts';
import { keys, makeTenant, openAuditDatabase } from './database.ts';

// The attacker can change every row but does not have the key.

const ENTRIES = 12;
const log = createLogger('silent');
let world: Awaited<ReturnType<typeof openAuditDatabase>>;
beforeAll(async () => {
  world = await openAuditDatabase();
});
afterAll(() => world.close());

const inputOf = (i: number, more: Record<string, unknown> = {}): EntryInput => ({
  action: i % 3 ? 'key.made' : 'user.changed',
  route: 'POST /auth/api-keys',
  status: 201,
  count: 1,
  payload: { principal_id: `usr_${i % 4}`, about: { key_id: `key_${i}`, ...more } },
});

let made = 0;
async function newStream(entries = ENTRIES) {
  made += 1;
  const tenant = world.database.tenants(`chain-${made}`);
  await makeTenant(world.database, tenant.id);
  const appender = createAppender(world.database.tenants, () => keys, log);
  await Promise.all(Array.from({ length: entries }, (_, i) => appender.append(tenant.id, inputOf(i))));
  return { tenant, appender };
}

const faultsOf = async (id: string, kept = [] as Parameters<typeof verifyTenant>[2]) =>
  (await verifyTenant(world.database.tenants(id), keys, kept)).faults;

test('an unchanged stream with entries of many batches and concurrent daemons verifies', async () => {
  const { tenant } = await newStream(0);
  const daemons = [1, 2].map(() => createAppender(world.database.tenants, () => keys, log));
  await Promise.all(daemons.flatMap((daemon) => Array.from({ length: 250 }, (_, i) => daemon.append(tenant.id, inputOf(i)))));
  const { entries, faults } = await verifyTenant(tenant, keys);
  expect([entries, faults]).toEqual([500, []]);
  const [row] = await world.asSuperuser(
    'select count(*)::int as n, max(seq)::int as last from audit_entries where tenant_id = $1',
    [tenant.id],
  );
  expect(row).toEqual({ n: 500, last: 500 });
});

const columns: Record<string, string> = {
  at: `at + interval '1 millisecond'`,
  first_at: `first_at - interval '1 millisecond'`,
  action: `action || 'x'`,
  route: `'GET /'`,
  status: `status + 1`,
  count: `count + 1`,
  payload: `payload || '{"principal_id": "usr_x"}'`,
  'payload ': `payload || '{"more": null}'`,
  'payload  ': `null`,
  salt: `set_byte(salt, 0, get_byte(salt, 0) # 1)`,
  'salt ': 'null',
  commitment: `set_byte(commitment, 31, get_byte(commitment, 31) # 128)`,
  key_id: `'00000000'`,
  mac: `set_byte(mac, 5, get_byte(mac, 5) # 4)`,
  'payload = null, salt': 'null',
};

test('any single change, deletion, insertion or swap is detected at its position', async () => {
  const { tenant } = await newStream();
  const seq = fc.integer({ min: 1, max: ENTRIES });
  const crime = fc.oneof(
    fc.record({ kind: fc.constant('change' as const), column: fc.constantFrom(...Object.keys(columns)), seq }),
    fc.record({ kind: fc.constant('delete' as const), seq }),
    fc.record({ kind: fc.constant('insert' as const), from: seq, seq: fc.constantFrom(0, -5, ENTRIES + 1, ENTRIES + 7) }),
    fc.record({ kind: fc.constant('swap' as const), seq, with: seq }).filter((each) => each.seq !== each.with),
  );
  await world.asSuperuser('drop table if exists kept');
  await world.asSuperuser(
    'create table kept as select * from audit_entries where tenant_id = $1'.replace('$1', `'${tenant.id}'`),
  );
  const fields = 'tenant_id, seq, at, first_at, action, route, status, count, payload, salt, commitment, key_id, mac';
  await fc.assert(
    fc.asyncProperty(crime, async (done) => {
      if (done.kind === 'change')
        await world.asSuperuser(
          `update audit_entries set ${done.column} = ${columns[done.column]} where tenant_id = '${tenant.id}' and seq = ${done.seq}`,
        );
      if (done.kind === 'delete')
        await world.asSuperuser(`delete from audit_entries where tenant_id = '${tenant.id}' and seq = ${done.seq}`);
      if (done.kind === 'insert')
        await world.asSuperuser(
          `insert into audit_entries (${fields}) select ${fields.replace('seq', String(done.seq))} from kept where seq = ${done.from}`,
        );
      if (done.kind === 'swap')
        await world
          .asSuperuser(
            `with other as (delete from audit_entries where tenant_id = '${tenant.id}' and seq in (${done.seq}, ${done.with}))
           select 1`,
          )
          .then(() =>
            world.asSuperuser(
              `insert into audit_entries (${fields})
             select ${fields.replace('seq', `case seq when ${done.seq} then ${done.with} else ${done.seq} end`)}
             from kept where seq in (${done.seq}, ${done.with})`,
            ),
          );
      const faults = await faultsOf(tenant.id);
      expect(faults.length).toBeGreaterThan(0);
      expect(faults.some((fault) => fault.seq === done.seq || done.kind === 'insert')).toBe(true);
      await world.asSuperuser(`delete from audit_entries where tenant_id = '${tenant.id}'`);
      await world.asSuperuser(`insert into audit_entries (${fields}) select ${fields} from kept`);
    }),
    { numRuns: 80 },
  );
  expect(await faultsOf(tenant.id)).toEqual([]);
});

test('saved heads detect a tail that was cut off together with the clock, and a stream that was rewritten', async () => {
  const { tenant } = await newStream();
  const saved = await headOf(tenant);
  expect(await faultsOf(tenant.id, [saved])).toEqual([]);
  await world.asSuperuser('delete from audit_entries where tenant_id = $1 and seq > 8', [tenant.id]);
  expect(await faultsOf(tenant.id)).toEqual([{ seq: 9, fault: `missing, up to ${ENTRIES}` }]);
  await world.asSuperuser(
    `update audit_clocks c set last_seq = 8, last_mac = e.mac, last_at = e.at
     from audit_entries e where e.tenant_id = c.tenant_id and e.seq = 8 and c.tenant_id = $1`,
    [tenant.id],
  );
  expect(await faultsOf(tenant.id)).toEqual([]);
  expect(await faultsOf(tenant.id, [saved])).toEqual([{ seq: ENTRIES, fault: 'missing, but listed in the saved heads' }]);
  const appender = createAppender(world.database.tenants, () => keys, log);
  await Promise.all(Array.from({ length: 6 }, (_, i) => appender.append(tenant.id, inputOf(i))));
  expect(await faultsOf(tenant.id)).toEqual([]);
  expect(await faultsOf(tenant.id, [saved])).toEqual([{ seq: ENTRIES, fault: 'differs from the saved head' }]);
});

test('entries of another tenant, and entries signed with another key, fail verification', async () => {
  const [mine, other] = [await newStream(3), await newStream(3)];
  await world.asSuperuser('delete from audit_entries where tenant_id = $1', [mine.tenant.id]);
  await world.asSuperuser(
    `insert into audit_entries (tenant_id, seq, at, first_at, action, route, status, count, payload, salt, commitment, key_id, mac)
     select $1, seq, at, first_at, action, route, status, count, payload, salt, commitment, key_id, mac from audit_entries where tenant_id = $2`,
    [mine.tenant.id, other.tenant.id],
  );
  expect((await faultsOf(mine.tenant.id)).length).toBeGreaterThan(0);
  const forger = openKeys([Buffer.alloc(32, 'guessed').toString('base64')]);
  const { tenant } = await newStream(0);
  await createAppender(world.database.tenants, () => forger, log).append(tenant.id, inputOf(1));
  expect((await faultsOf(tenant.id))[0]!.fault).toContain('which is not configured');
});

test('after a key rotation, old entries are verified with the previous key', async () => {
  const { tenant } = await newStream(3);
  const next = Buffer.alloc(32, 'next').toString('base64');
  await createAppender(world.database.tenants, () => openKeys([next]), log).append(tenant.id, inputOf(9));
  const both = openKeys([next, Buffer.alloc(32, 'only-for-tests').toString('base64')]);
  expect((await verifyTenant(tenant, both)).faults).toEqual([]);
  expect((await verifyTenant(tenant, openKeys([next]))).faults.map(({ seq }) => seq)).toEqual([1, 2, 3]);
});

test('erasing a subject blanks the entries that name it, and the chain still verifies', async () => {
  const { tenant, appender } = await newStream();
  await appender.append(tenant.id, inputOf(50, { deep: [{ user_id: 'alice' }] }));
  const audit = openAudit(() => keys, 60_000, world.database.tenants, log);
  const subject = { kind: 'user_id', id: 'alice', accounts: ['usr_1'] };
  const by = { job_id: 'job_1', begun_by: 'erased_00' };
  expect(await audit.eraseSubject(tenant, subject, by)).toBe(4);
  expect(await faultsOf(tenant.id)).toEqual([]);
  const rows = await world.asSuperuser<{ text: string }>(
    'select audit_entries::text as text from audit_entries where tenant_id = $1',
    [tenant.id],
  );
  expect(rows.filter(({ text }) => /alice|usr_1/.test(text))).toEqual([]);
  expect(await audit.eraseSubject(tenant, subject, by)).toBe(0);
  await audit.stop();
});

test('the application role can only blank entries, and blanking without an entry that lists them is detected', async () => {
  const { tenant } = await newStream(3);
  await tenant.write((db) => db.run('select blank_audit($1, array[2])', [tenant.id]));
  expect(await faultsOf(tenant.id)).toEqual([{ seq: 2, fault: 'blanked, but no audit.erased entry lists it' }]);
  await expect(tenant.write((db) => db.run('update audit_entries set count = 2'))).rejects.toMatchObject({ code: '42501' });
  await expect(tenant.write((db) => db.run('delete from audit_entries'))).rejects.toMatchObject({ code: '42501' });
  const other = await newStream(2);
  await tenant.write((db) => db.run('select blank_audit($1, array[1])', [other.tenant.id]));
  expect(await faultsOf(other.tenant.id)).toEqual([]);
});

test('an entry whose answer was lost is written exactly once', async () => {
  const { tenant } = await newStream(2);
  let away = 3;
  const flaky = (id: string) => ({
    ...world.database.tenants(id),
    call: async (...args: Parameters<typeof tenant.call>) => {
      const answer = await world.database.tenants(id).call(...args);
      // the entry is written, but its answer is lost
      const [row] = answer as ({ appended: boolean } | undefined)[];
      if (row?.appended && away > 0) {
        away -= 1;
        throw Object.assign(new Error('lost'), { code: 'ECONNRESET' });
      }
      return answer;
    },
  });
  const appender = createAppender(flaky as typeof world.database.tenants, () => keys, log);
  await appender.append(tenant.id, inputOf(7));
  const { entries, faults } = await verifyTenant(tenant, keys);
  expect([entries, faults, away]).toEqual([3, [], 0]);
  await appender.append('no-such-tenant', inputOf(1));
});
