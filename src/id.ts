import { randomBytes } from 'node:crypto';

const crockford = '0123456789abcdefghjkmnpqrstvwxyz';

/** `evt_` and the like, then a ULID (48 bits of ms, 80 of chance) in lower case: ids of one process sort by time. */
export function newId(prefix: string): string {
  let time = Date.now();
  let head = '';
  for (let i = 0; i < 10; i += 1) {
    head = crockford[time % 32] + head;
    time = Math.floor(time / 32);
  }
  let tail = '';
  for (const byte of randomBytes(16)) tail += crockford[byte & 31];
  return `${prefix}_${head}${tail}`;
}
