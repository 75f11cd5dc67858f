import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { TestConnection } from '../tests/support/cluster.ts';

const run = promisify(execFile);

export interface Pgbench {
  /** Returns transactions per second of randomly chosen scripts with prepared statements, for the given number of clients. */
  tps(name: string, scripts: string[], clients: number, seconds: number): Promise<number>;
}

export function openPgbench(bin: string, dir: string, connection: TestConnection): Pgbench {
  return {
    tps: async (name, scripts, clients, seconds) => {
      const folder = join(dir, name);
      mkdirSync(folder, { recursive: true });
      const files = scripts.map((sql, i) => {
        const file = join(folder, `${i}.sql`);
        writeFileSync(file, sql);
        return file;
      });
      const { host, port, user, database } = connection;
      const { stdout } = await run(join(bin, 'pgbench'), [
        ...[
          '-h',
          host,
          '-p',
          String(port),
          '-U',
          user,
          '-n',
          '-M',
          'prepared',
          '-c',
          String(clients),
          '-T',
          String(Math.ceil(seconds)),
        ],
        ...files.flatMap((file) => ['-f', file]),
        database,
      ]);
      const tps = /tps = ([\d.]+)/.exec(stdout)?.[1];
      if (!tps || /number of failed transactions: [1-9]/.test(stdout)) throw new Error(stdout);
      return Number(tps);
    },
  };
}
