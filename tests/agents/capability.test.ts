import { type Call, clientOf, makeOwner } from '../auth/client.ts';
import { mint, settings } from '../capabilities/support.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

let daemon: TestDaemon;
let call: Call;
beforeAll(async () => {
  daemon = await startTestDaemon(settings);
  call = clientOf(daemon.url);
});
afterAll(() => daemon.stop());

test('a kill stops the capabilities of the agent, and no other', async () => {
  const owner = await makeOwner(call);
  const grant = { ns: '**', ops: ['PUT', 'GET'] };
  const bound = (await mint(call, owner, { ...grant, agent: 'planner' })).body.capability;
  const other = (await mint(call, owner, { ...grant, agent: 'writer' })).body.capability;
  const put = async (token: string) => {
    const { status, body } = await call('PUT', '/v1/state/app/key', { token, body: { body: 1 } });
    return [status < 300, body.code];
  };
  expect([await put(bound), await put(other)]).toEqual([
    [true, undefined],
    [true, undefined],
  ]);
  await call('POST', '/v1/agents/planner/kill', { token: owner.token, body: {} });
  expect([await put(bound), await put(other)]).toEqual([
    [false, 'AGENT_KILLED'],
    [true, undefined],
  ]);
  const read = await call('GET', '/v1/state/app/key', { token: bound });
  expect([read.status, read.body.code]).toEqual([403, 'AGENT_KILLED']);
  await call('POST', '/v1/agents/planner/resurrect', { token: owner.token, body: {} });
  expect(await put(bound)).toEqual([true, undefined]);
});
