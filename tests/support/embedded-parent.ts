import { startEmbedded } from '../../src/db/embedded.ts';

// A process that has an embedded engine and does nothing else, for tests that kill it. Says one line: the engine's pid and connection.

const { pid, connection } = await startEmbedded({ data_dir: process.argv[2]! });
console.log(JSON.stringify({ pid, connection }));
setInterval(() => undefined, 60_000);
