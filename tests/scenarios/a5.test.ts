import { message, newTenant, send } from '../support/client.ts';
import { type Bundle, itemsOf, recordAll, textsOf } from '../support/context.ts';
import { spawnDaemon } from '../support/daemon.ts';
import { daemonDatabase } from '../support/database.ts';

// A5: tasks survive.

test('A5 after a restart a new session has the three open tasks of five, without the old dialogue', async () => {
  const { env, release } = await daemonDatabase();
  let daemon = await spawnDaemon(env);
  try {
    const alice = await newTenant(daemon.url);
    const task = (task_id: string, status: string) => ({
      ...message('', { session_id: 'monday' }),
      kind: 'task_update',
      content: { task_id, title: `The task ${task_id}`, status },
    });
    const talk = Array.from({ length: 10 }, (_, i) => message(`chatter number ${i} about the tasks`, { session_id: 'monday' }));
    const names = ['one', 'two', 'three', 'four', 'five'];
    const made = await recordAll(
      alice,
      ...talk,
      ...names.map((name) => task(name, 'open')),
      task('four', 'doing'),
      task('two', 'done'),
      task('five', 'done'),
    );
    await daemon.kill('SIGTERM');
    daemon = await spawnDaemon(env);
    const { status, body } = await send<Record<string, unknown>>(
      daemon.url,
      'POST',
      '/v1/context?render=text',
      { body: { session_id: 'tuesday', channel: 'private', intent: 'continue' } },
      alice.token,
    );
    expect(status).toBe(200);
    const bundle = body as unknown as Bundle;
    expect(textsOf(bundle, 'task_state')).toEqual(['[doing] The task four', '[open] The task three', '[open] The task one']);
    expect(itemsOf(bundle, 'task_state').map(({ memory_id }) => memory_id)).toEqual([
      made[13]!.memory_id,
      made[12]!.memory_id,
      made[10]!.memory_id,
    ]);
    expect(bundle.text).not.toContain('chatter');
    expect(bundle.sections.map(({ name }) => name)).toEqual(['task_state']);
  } finally {
    await daemon.kill('SIGKILL');
    await release();
  }
}, 180_000);
