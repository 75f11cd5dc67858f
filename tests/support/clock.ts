import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

// libfaketime moves the clock of processes that were started with it. Timers stay true: a step of the wall clock does not move them.

export interface Clock {
  /** Of a process that is to live by it. */
  env: Record<string, string>;
  /** `+2d`, `-3h`, `+0`: from the true time. */
  move(offset: string): void;
}

function findLibrary(): string | undefined {
  const places = existsSync('/usr/lib')
    ? readdirSync('/usr/lib').map((arch) => join('/usr/lib', arch, 'faketime/libfaketimeMT.so.1'))
    : [];
  return places.find((place) => existsSync(place));
}
export const faketime = findLibrary();

export function openClock(file: string): Clock {
  const move = (offset: string) => writeFileSync(file, `${offset}\n`);
  move('+0');
  const env = { LD_PRELOAD: faketime!, FAKETIME_TIMESTAMP_FILE: file, FAKETIME_NO_CACHE: '1', FAKETIME_DONT_FAKE_MONOTONIC: '1' };
  return { env: { ...env, DONT_FAKE_MONOTONIC: '1' }, move };
}
