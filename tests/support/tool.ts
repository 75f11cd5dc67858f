import { execFileSync } from 'node:child_process';

/** The path of a program of this machine, or undefined. /usr/sbin is looked through too: Debian keeps servers there. */
export function toolOf(name: string): string | undefined {
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

/** `describe` where every program is there; otherwise a skipped one that names what is missing. */
export function describeWith(tools: string[], name: string, tests: () => void): void {
  const missing = tools.filter((tool) => !toolOf(tool));
  if (missing.length === 0) describe(name, tests);
  else describe.skip(`${name} (skipped: ${missing.join(', ')} not installed)`, tests);
}
