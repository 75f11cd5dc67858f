import { Client } from 'pg';
import { SERVING_ROLE } from '../../src/db/pool.ts';
import { describeOnServer, workerDatabase } from '../support/database.ts';

// Checks the catalog, so that future tables are covered without a new test.

let client: Client;
beforeAll(async () => {
  client = new Client((await workerDatabase()).connection);
  await client.connect();
});
afterAll(() => client.end());

const names = async (text: string, values: unknown[] = []) =>
  (await client.query<{ name: string }>(text, values)).rows.map((row) => row.name);

/** Tables with rows of tenants: those with a tenant_id. */
const tenantTables = `
  select c.oid, c.relname, c.relrowsecurity, c.relforcerowsecurity, a.attnum as tenant_column
  from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
  where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')`;

/** Lists the grants on a relation and on its columns (` (column)` in `of`), which are not in the list of the relation. */
const grants = `
  select c.oid, '' as of, acl.grantee, acl.privilege_type, acl.is_grantable from pg_class c cross join lateral aclexplode(c.relacl) acl
  union all
  select a.attrelid, ' (' || a.attname || ')', acl.grantee, acl.privilege_type, acl.is_grantable
  from pg_attribute a cross join lateral aclexplode(a.attacl) acl where not a.attisdropped`;

/** Columns that the roles of definer functions may change: an erasure blanks content and names, never keys. */
const blanked = [
  ...['content', 'metadata', 'tags', 'refs', 'artifact_id', 'chunk_count', 'byte_count', 'erased_at', 'carried_at'],
  ...['session_id', 'user_id', 'agent_id', 'project_id', 'actor_id'],
].map((column) => `events (${column}) agent_memory_blanker UPDATE`);
const changedByFunctions = [
  ...blanked,
  ...['payload', 'salt'].map((column) => `audit_entries (${column}) agent_memory_audit_eraser UPDATE`),
];

test('the catalog has the tenant tables', async () => {
  expect(await names(`select relname as name from (${tenantTables}) t`)).toEqual(
    expect.arrayContaining(['tenants', 'events', 'chunks', 'artifacts']),
  );
});

/** Tables without tenant, each with its reason. */
const outside: Record<string, string> = {
  schema_migrations: 'says nothing of any tenant, and the serving role cannot read it',
  login_failures: 'hashes and counts, for tenants that do not exist too',
  rate_windows: 'hashes and counts, of addresses too',
  capability_daemons: 'which daemons run, and ids of their keys',
  nouns: 'what kinds of things the service keeps, the same in every database',
  portable_tables: 'which tables are exported, the same in every database',
  schema_functions: 'which functions were applied, by which release',
  schema_gone: 'functions that left their file, and since which release',
  installation: 'one row, the server and database where the data belongs',
  sweep_walks: 'one row, where the sweeper stands: the id of a tenant and times, and sums over all tenants',
};

test('every table has rows of tenants or is listed with a reason', async () => {
  const others = await names(`
    select c.relname as name from pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'm', 'f')
      and c.oid not in (select oid from (${tenantTables}) t)`);
  expect(others.filter((name) => !(name in outside))).toEqual([]);
});

test('the backup role may read every table', async () => {
  const hidden = await names(
    `select c.relname as name from pg_class c
     where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not has_table_privilege('agent_memory_backup', c.oid, 'select')`,
  );
  expect(hidden).toEqual([]);
});

test('tables without row-level security that the serving role can read have no documents', async () => {
  const readable = await names(
    `select c.relname || '.' || a.attname as name
     from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
     where c.relname = any ($1) and has_column_privilege($2, c.oid, a.attnum, 'select') and a.atttypid in ('json'::regtype, 'jsonb'::regtype)`,
    [Object.keys(outside), SERVING_ROLE],
  );
  // numbers only
  expect(readable).toEqual(['sweep_walks.tallies', 'sweep_walks.last_tallies']);
});

test('every tenant table has row-level security enabled and forced', async () => {
  expect(
    await names(`select relname as name from (${tenantTables}) t where not (relrowsecurity and relforcerowsecurity)`),
  ).toEqual([]);
});

test('every tenant table has exactly one policy for the serving role, which checks the tenant of reads and writes', async () => {
  const wrong = await names(
    `select relname as name from (${tenantTables}) t
     where 1 <> (
       select count(*) from pg_policy p
       where p.polrelid = t.oid and p.polroles && array[0::oid, $1::regrole::oid])
     or not exists (
       select from pg_policy p
       where p.polrelid = t.oid and p.polroles = array[$1::regrole::oid] and p.polcmd = '*' and p.polpermissive
         and pg_get_expr(p.polqual, p.polrelid) ~ 'tenant_id = .*current_tenant\\(\\)'
         and pg_get_expr(p.polwithcheck, p.polrelid) = pg_get_expr(p.polqual, p.polrelid))`,
    [SERVING_ROLE],
  );
  expect(wrong).toEqual([]);
});

test('every other policy is for a role without login and is read-only or bound to a tenant', async () => {
  const wrong = await names(
    `select polname || ' on ' || polrelid::regclass as name from pg_policy p
     where p.polroles <> array[$1::regrole::oid]
       and (exists (select from unnest(p.polroles) r (id) left join pg_roles on oid = r.id where rolcanlogin is distinct from false)
         or (p.polcmd <> 'r' and pg_get_expr(p.polqual, p.polrelid) !~ 'tenant_id = .*(current_tenant|tenant_deleting|tenant_forgetting)\\(\\)'))`,
    [SERVING_ROLE],
  );
  expect(wrong).toEqual([]);
});

test('only the serving role and the owner may insert or change rows of tenants, except for the columns that erasures blank', async () => {
  const wrong = await names(
    `select t.relname || acl.of || ' ' || acl.grantee::regrole || ' ' || acl.privilege_type as name
     from (${tenantTables}) t join pg_class c on c.oid = t.oid join (${grants}) acl on acl.oid = c.oid
     where acl.grantee not in (c.relowner, $1::regrole::oid) and acl.privilege_type not in ('SELECT', 'DELETE')`,
    [SERVING_ROLE],
  );
  expect(wrong.toSorted()).toEqual(changedByFunctions.toSorted());
});

test('every primary key of a tenant table begins with the tenant', async () => {
  expect(
    await names(`
      select relname as name from (${tenantTables}) t
      where not exists (
        select from pg_constraint k where k.conrelid = t.oid and k.contype = 'p' and k.conkey[1] = t.tenant_column)`),
  ).toEqual([]);
});

test('every foreign key between tenant tables pairs tenant with tenant', async () => {
  const wrong = await names(`
    select k.conname as name
    from pg_constraint k join (${tenantTables}) f on f.oid = k.conrelid join (${tenantTables}) t on t.oid = k.confrelid
    where k.contype = 'f' and not exists (
      select from generate_subscripts(k.conkey, 1) i where k.conkey[i] = f.tenant_column and k.confkey[i] = t.tenant_column)`);
  expect(wrong).toEqual([]);
});

test('no view reads tenant rows with the privileges of its owner', async () => {
  expect(
    await names(`
      select relname as name from pg_class
      where relnamespace = 'public'::regnamespace and relkind = 'v' and not coalesce(reloptions @> array['security_invoker=true'], false)`),
  ).toEqual([]);
});

test('the serving role is not a superuser, cannot bypass row-level security, cannot log in and owns nothing', async () => {
  const { rows } = await client.query(
    'select rolsuper, rolbypassrls, rolcanlogin, rolcreaterole, rolcreatedb, rolreplication from pg_roles where rolname = $1',
    [SERVING_ROLE],
  );
  expect(rows).toEqual([
    { rolsuper: false, rolbypassrls: false, rolcanlogin: false, rolcreaterole: false, rolcreatedb: false, rolreplication: false },
  ]);
  expect(
    await names(
      `select relname as name from pg_class where relowner = $1::regrole
       union all select proname from pg_proc where proowner = $1::regrole
       union all select nspname from pg_namespace where nspowner = $1::regrole
       union all select datname from pg_database where datdba = $1::regrole`,
      [SERVING_ROLE],
    ),
  ).toEqual([]);
});

test('the serving role is a member of no role', async () => {
  expect(
    await names('select roleid::regrole::text as name from pg_auth_members where member = $1::regrole', [SERVING_ROLE]),
  ).toEqual([]);
});

test('the serving role may only read and write rows, and create nothing', async () => {
  const wrong = await names(
    `select c.relname || acl.of || ' ' || acl.privilege_type as name
     from pg_class c join (${grants}) acl on acl.oid = c.oid
     where c.relnamespace = 'public'::regnamespace and acl.grantee in (0, $1::regrole::oid)
       and (c.relname = 'schema_migrations' or acl.is_grantable
         or acl.privilege_type not in ('SELECT', 'INSERT', 'UPDATE', 'DELETE', 'USAGE'))`,
    [SERVING_ROLE],
  );
  expect(wrong).toEqual([]);
  const { rows } = await client.query(
    `select has_schema_privilege($1, 'public', 'create') as schema, has_schema_privilege($1, 'public', 'usage') as usage`,
    [SERVING_ROLE],
  );
  expect(rows).toEqual([{ schema: false, usage: true }]);
});

test('every security definer function sets its search path and is owned by a role without login and attributes', async () => {
  const definers = `
    select p.proname as name from pg_proc p join pg_roles r on r.oid = p.proowner
    where p.prosecdef and p.pronamespace = 'public'::regnamespace`;
  expect(await names(`${definers} and not exists (select from unnest(p.proconfig) s where s like 'search_path=%')`)).toEqual([]);
  expect(
    await names(`${definers} and (r.rolcanlogin or r.rolsuper or r.rolbypassrls or r.oid = $1::regrole)`, [SERVING_ROLE]),
  ).toEqual([]);
  expect((await names(definers)).length).toBeGreaterThan(0);
});

test('temporary tables come last in the search path of every security definer function', async () => {
  expect(
    await names(`
      select p.proname as name from pg_proc p
      where p.prosecdef and p.pronamespace = 'public'::regnamespace
        and not coalesce(p.proconfig @> array['search_path=pg_catalog, public, pg_temp'], false)`),
  ).toEqual([]);
});

test('only the serving role and the members of its owner may call a security definer function', async () => {
  const callers = await names(
    `select distinct coalesce(nullif(acl.grantee, 0)::regrole::text, 'public') || ' calls ' || p.proname as name
     from pg_proc p cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) acl
     where p.prosecdef and p.pronamespace = 'public'::regnamespace
       and acl.grantee not in (p.proowner, $1::regrole::oid)`,
    [SERVING_ROLE],
  );
  expect(callers).toEqual([]);
  const refused = await names(
    `select r || ' cannot call ' || p.proname as name
     from pg_proc p cross join (values ($1), (current_user)) roles (r)
     where p.prosecdef and p.pronamespace = 'public'::regnamespace and not has_function_privilege(r, p.oid, 'execute')`,
    [SERVING_ROLE],
  );
  expect(refused).toEqual([]);
});

test('roles that own definer functions may create nothing and own no table', async () => {
  const owners = `select distinct p.proowner from pg_proc p where p.prosecdef and p.pronamespace = 'public'::regnamespace`;
  expect(
    await names(
      `select r.rolname as name from pg_roles r where r.oid in (${owners}) and has_schema_privilege(r.oid, 'public', 'create')`,
    ),
  ).toEqual([]);
  expect(await names(`select relname as name from pg_class where relowner in (${owners})`)).toEqual([]);
});

test('without a tenant the serving role sees and writes no rows', async () => {
  await client.query('begin');
  await client
    .query(`insert into tenants (tenant_id) values ('wall-probe') on conflict do nothing`)
    .catch(() => client.query('rollback; begin'));
  await client.query(`select set_config('role', $1, true)`, [SERVING_ROLE]);
  const { rows } = await client.query('select count(*)::int as n from tenants');
  expect(rows).toEqual([{ n: 0 }]);
  await expect(client.query(`insert into tenants (tenant_id) values ('wall-intruder')`)).rejects.toMatchObject({ code: '42501' });
  await client.query('rollback');
});

describeOnServer('its only login is a superuser, who bypasses row-level security', () => {
  test('a member of the backup role sees no rows until it sets the role', async () => {
    await client.query('begin');
    await client.query(`select set_config('role', $1, true), set_config('app.tenant_id', 'wall-probe', true)`, [SERVING_ROLE]);
    await client.query(`insert into tenants (tenant_id) values ('wall-probe')`);
    await client.query(
      `insert into users (tenant_id, user_id, username, password_hash, role, subject)
     values ('wall-probe', 'usr_1', 'olga', 'x', 'owner', 'olga')`,
    );
    await client.query(`select set_config('role', 'none', true), set_config('app.tenant_id', '', true)`);
    const count = async () => (await client.query('select count(*)::int as n from users')).rows[0].n;
    expect(await count()).toBe(0);
    await client.query('set local role agent_memory_backup');
    expect(await count()).toBeGreaterThan(0);
    await client.query('rollback');
  });
});
