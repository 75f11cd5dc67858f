import { withClient } from '../support/cluster.ts';
import { workerDatabase } from '../support/database.ts';

test('hello', async () => {
  const { connection } = await workerDatabase();
  await withClient(connection, async (c) =>
    console.log((await c.query('select version(), count(*) from schema_migrations')).rows),
  );
});
