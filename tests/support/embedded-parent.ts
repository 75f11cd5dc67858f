import { startEmbedded } from '../../src/db/embedded.ts';

// A process that only runs an embedded engine, for tests that kill it. Prints a line with the engine's pid and connection.

const { pid, connection } = await startEmbedded({ data_dir: process.argv[2]! });
console.log(JSON.stringify({ pid, connection }));
setInterval(() => undefined, 60_000);
