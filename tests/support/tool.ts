import { execFileSync } from 'node:child_process';

/** Returns the path of an installed program, or undefined. Also searches /usr/sbin, where Debian installs servers. */
export function findTool(name: string): string | undefined {
  const PATH = `${process.env.PATH ?? ''}:/usr/sbin:/usr/local/bin`;
  try {
    return execFileSync('/bin/sh', ['-c', 'command -v "$1"', 'sh', name], {
      encoding: 'utf8',
      env: { ...process.env, PATH },
    }).trim();
  } catch {
    return undefined;
  }
}

/** Like `describe`, but skipped if a program is not installed; the name then lists the missing programs. */
export function describeWith(tools: string[], name: string, tests: () => void): void {
  const missing = tools.filter((tool) => !findTool(tool));
  if (missing.length === 0) describe(name, tests);
  else describe.skip(`${name} (skipped: ${missing.join(', ')} not installed)`, tests);
}
