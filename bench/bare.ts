import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { World } from './world.ts';

/** Starts the server of bare-server.mjs over a tenant's rows, with a superuser. */
export async function startBareServer(world: World, tenant: string): Promise<{ url: string; stop(): void }> {
  const { host, port, user, database } = world.plain;
  const child = spawn(process.execPath, ['--max-semi-space-size=32', join(import.meta.dirname, 'bare-server.mjs')], {
    env: { PGHOST: host, PGPORT: String(port), PGUSER: user, PGDATABASE: database, TENANT: tenant },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  return { url: `http://127.0.0.1:${Number(line)}`, stop: () => child.kill() };
}
