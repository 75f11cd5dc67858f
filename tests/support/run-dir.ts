import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startOf } from '../../src/db/lock.ts';

// All files of a test run are in one directory. A guard in its own process group waits for the end of its input, which comes however the run
// ends (even by SIGKILL), then stops the cluster and removes the directory. If the guard is killed too, the next run removes the directory.

const PREFIX = 'agent-memory-test-';
const cleanUp = `
[ -f "$1/pooler/pid" ] && kill -KILL "$(cat "$1/pooler/pid")"
file="$1/cluster/data/postmaster.pid"
if [ -f "$file" ]; then
  pid=$(head -n 1 "$file")
  kill -INT "$pid"
  i=0
  while kill -0 "$pid" && [ $i -lt 100 ]; do sleep 0.1; i=$((i + 1)); done
  kill -KILL "$pid"
fi
rm -rf "$1" || { sleep 2; rm -rf "$1"; }
`;

export interface RunDir {
  path: string;
  remove(): Promise<void>;
}

export function makeRunDir(): RunDir {
  removeOrphans();
  const path = mkdtempSync(join(tmpdir(), PREFIX));
  // The cluster may run as another user, who must be able to reach its data directory.
  chmodSync(path, 0o711);
  writeFileSync(join(path, 'owner'), `${process.pid} ${startOf(process.pid)}`);
  const guard = runShell(`cat > /dev/null\n${cleanUp}`, path);
  return { path, remove: () => release(guard) };
}

function runShell(script: string, path: string): ChildProcess {
  const shell = spawn('/bin/sh', ['-c', script, 'guard', path], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
  shell.unref();
  return shell;
}

async function release(guard: ChildProcess): Promise<void> {
  const gone = once(guard, 'exit');
  guard.stdin?.end();
  guard.ref();
  await gone;
}

function removeOrphans(): void {
  for (const name of readdirSync(tmpdir())) {
    if (!name.startsWith(PREFIX)) continue;
    const path = join(tmpdir(), name);
    if (!existsSync(join(path, 'owner'))) continue;
    const [pid, started] = readFileSync(join(path, 'owner'), 'utf8').split(' ');
    if (startOf(Number(pid)) !== started) runShell(cleanUp, path);
  }
}
