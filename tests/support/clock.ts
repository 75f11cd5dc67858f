import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

// libfaketime shifts the wall clock of processes that are started with it. The monotonic clock, and with it timers, is not affected.

export interface Clock {
  /** Environment of a process that uses this clock. */
  env: Record<string, string>;
  /** Sets the offset from the real time, such as `+2d`, `-3h` or `+0`. */
  move(offset: string): void;
}

function findLibrary(): string | undefined {
  const paths = existsSync('/usr/lib')
    ? readdirSync('/usr/lib').map((arch) => join('/usr/lib', arch, 'faketime/libfaketimeMT.so.1'))
    : [];
  return paths.find((path) => existsSync(path));
}
export const faketime = findLibrary();

export function openClock(file: string): Clock {
  const move = (offset: string) => writeFileSync(file, `${offset}\n`);
  move('+0');
  const env = { LD_PRELOAD: faketime!, FAKETIME_TIMESTAMP_FILE: file, FAKETIME_NO_CACHE: '1', FAKETIME_DONT_FAKE_MONOTONIC: '1' };
  return { env: { ...env, DONT_FAKE_MONOTONIC: '1' }, move };
}
