import { failedChecks, jobDone } from '../export/file.ts';
import { recordMessages, trim } from '../retention/support.ts';
import { type Client, newTenant } from '../support/client.ts';
import { withClient } from '../support/cluster.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { describeOnServer, serverConnection } from '../support/database.ts';
import { act, issue, settle, usageOf } from './support.ts';

type Row = Record<string, any>;

describeOnServer('a second connection damages the rows', () => {
  let daemon: TestDaemon;
  let alice: Client;
  let [parent, child]: Row[] = [];
  beforeAll(async () => {
    daemon = await startTestDaemon();
  });
  afterAll(() => daemon.stop());
  beforeEach(async () => {
    alice = await newTenant(daemon.url);
    parent = await issue(alice, { mandate_id: 'parent', max_cost_total_micros: 100 });
    child = (await alice.request('POST', '/v1/mandates/parent/delegate', { body: { mandate_id: 'child' } })).body;
    for (const [of, action_id, estimate_micros] of [
      [parent, 'one', 30],
      [child, 'two', 20],
    ] as const) {
      await act(alice, of!, { action_id, estimate_micros });
      await settle(alice, of!, action_id);
    }
    await act(alice, child!, { action_id: 'open', estimate_micros: 7, lease_ms: 3_600_000 });
    expect(await usageOf(alice, parent!)).toMatchObject({ spent_micros: 50, reserved_micros: 7, calls: 3 });
    expect(await failedChecks(alice)).toEqual([]);
  });

  async function damage(statement: string): Promise<void> {
    const { rowCount } = await withClient({ ...serverConnection(), database: daemon.env.PGDATABASE! }, (client) =>
      client.query(statement.replace('$tenant', `'${alice.tenant_id}'`)),
    );
    expect(rowCount).toBe(1);
  }

  const found = async () => (await failedChecks(alice)).map((one) => [(one as Row).name, (one as Row).sample]);

  async function repair(): Promise<Row> {
    const { body } = await alice.request('POST', '/v1/consistency/repair');
    return (await jobDone(alice, body.job_id)).result;
  }

  const ofParent = `where tenant_id = $tenant and mandate_id = 'parent'`;

  test.each([
    ['a sum that was reset', `update mandates set spent_micros = 0 ${ofParent}`, 0],
    ['a sum below that of a descendant', `update mandates set spent_micros = 49 ${ofParent}`, 49],
    ['a number of calls below that of the actions', `update mandates set calls = 2 ${ofParent}`, 50],
  ])('%s is found, and no repair sets it, because the log has no amounts', async (_, statement, spent_micros) => {
    await damage(statement);
    expect(await found()).toEqual([['mandate_sums', [{ mandate_id: 'parent', spent_micros, charged_micros: 50 }]]]);
    expect(await repair()).toMatchObject({ repaired: [], remaining: ['mandate_sums'] });
  });

  test('a wrong reservation is found and repaired from the open actions', async () => {
    await damage(`update mandates set reserved_micros = 0 ${ofParent}`);
    expect(await found()).toEqual([['mandate_reservations', [{ mandate_id: 'parent', reserved_micros: 0, expected: 7 }]]]);
    expect(await repair()).toMatchObject({ repaired: ['mandate_reservations'], remaining: [] });
    expect(await usageOf(alice, parent!)).toMatchObject({ spent_micros: 50, reserved_micros: 7 });
  });

  test('an action under another id than that of its event is found', async () => {
    await damage(`update actions set action_id = 'forged' where tenant_id = $tenant and action_id = 'two'`);
    expect(await found()).toMatchObject([['mandates', [{ mandate_id: 'child' }]]]);
  });

  test('after a trim, sums are compared with the actions that are left', async () => {
    await recordMessages(alice, 4);
    await trim(alice, 1);
    expect(await found()).toEqual([]);
    expect(await usageOf(alice, parent!)).toMatchObject({ spent_micros: 50, reserved_micros: 7, calls: 3 });
    await act(alice, child!, { action_id: 'later', estimate_micros: 5 });
    await settle(alice, child!, 'later');
    await damage(`update mandates set spent_micros = 4 ${ofParent}`);
    expect(await found()).toEqual([['mandate_sums', [{ mandate_id: 'parent', spent_micros: 4, charged_micros: 5 }]]]);
  });
});
