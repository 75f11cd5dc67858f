import { Client as Connection } from 'pg';
import { countBlocked } from '../support/blocked.ts';
import { type Client, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { daemonDatabase, describeOnServer } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { keysOf, list, NAMESPACE, type Row } from './client.ts';

// Lists and queries have several steps, and others may write between them. In these tests, the first step ends by waiting for an advisory lock.

const WAIT = `
  alter function scan_tagged(text, text, jsonb, text, int, int, text[], text[], text[]) rename to scan_tagged_at_once;
  create function scan_tagged(text, text, jsonb, text, int, int, text[], text[], text[]) returns text[] language plpgsql stable as $$
  declare
    v_keys text[] := scan_tagged_at_once($1, $2, $3, $4, $5, $6, $7, $8, $9);
  begin
    perform pg_advisory_xact_lock_shared(1);
    return v_keys;
  end $$;
  alter function tagged_keys(text, jsonb, int) rename to tagged_keys_at_once;
  create function tagged_keys(text, jsonb, int) returns setof text language plpgsql stable as $$
  begin
    return query select k from tagged_keys_at_once($1, $2, $3) k;
    perform pg_advisory_xact_lock_shared(1);
  end $$`;

describeOnServer('the embedded engine runs one statement at a time', () => {
  let daemon: TestDaemon;
  let holder: Connection;
  let drop: () => Promise<void>;
  let alice: Client;
  beforeAll(async () => {
    const { env, release } = await daemonDatabase();
    drop = release;
    daemon = await startTestDaemon({ PGLOCK_TIMEOUT: '60000', PGSTATEMENT_TIMEOUT: '60000', PGQUERY_TIMEOUT: '61000' }, env);
    const { PGHOST: host, PGPORT: port, PGUSER: user, PGDATABASE: database, PGPASSWORD: password } = env;
    holder = new Connection({ host, port: Number(port), user, database, password });
    await holder.connect();
    await holder.query(WAIT);
  });
  afterAll(async () => {
    await holder.end();
    await daemon.stop();
    await drop();
  });
  beforeEach(async () => {
    alice = await newTenant(daemon.url);
    const operations = ['a', 'b', 'c'].map((key) => ({ op: 'put', namespace: NAMESPACE, key, body: 1, tags: { s: 'open' } }));
    await change(operations);
  });

  const change = async (operations: Row[]) =>
    expect((await alice.request('POST', '/v1/state/batch', { body: { operations } })).status).toBe(200);

  /** Makes the changes after the first step of a read, before its next one. */
  async function amid<T>(read: () => Promise<T>, operations: Row[]): Promise<T> {
    await holder.query('select pg_advisory_lock(1)');
    try {
      const answer = read();
      await eventually(async () => (await countBlocked(holder)) === 1, 'the read waits for the lock');
      await change(operations);
      await holder.query('select pg_advisory_unlock(1)');
      return await answer;
    } finally {
      await holder.query('select pg_advisory_unlock_all()');
    }
  }

  const find = async (body: Row): Promise<Row> =>
    (await alice.request('POST', '/v1/state/query', { body: { namespace: NAMESPACE, ...body } })).body;
  const close = (key: string) => ({ op: 'put', namespace: NAMESPACE, key, body: 1, tags: { s: 'done' } });

  test('a list is that of one moment: an object that is deleted meanwhile neither is missing nor ends the list', async () => {
    const page = await amid(() => list(alice, '?limit=2'), [{ op: 'delete', namespace: NAMESPACE, key: 'a' }]);
    expect(keysOf(page)).toEqual(['a', 'b']);
    expect(keysOf(await list(alice, `?limit=2&cursor=${page.next_cursor}`))).toEqual(['c']);
  });

  test('a query by tags returns no object that has lost the tags', async () => {
    const { data } = await amid(() => find({ tags: { s: 'open' } }), [close('b')]);
    expect(data.map(({ key, tags }: Row) => [key, tags.s])).toEqual([
      ['a', 'open'],
      ['b', 'open'],
      ['c', 'open'],
    ]);
  });

  test('a tag that moves from one object to another in a batch is found at either', async () => {
    await change([close('b'), close('c')]);
    const moved = { op: 'put', namespace: NAMESPACE, key: 'b', body: 1, tags: { s: 'open' } };
    expect(keysOf(await amid(() => find({ tags: { s: 'open' }, contains: 1 }), [close('a'), moved]))).toEqual(['a']);
  });
});
