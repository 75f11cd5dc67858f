import { randomFillSync } from 'node:crypto';

const crockford = '0123456789abcdefghjkmnpqrstvwxyz';

// Random bytes are generated in bulk: a system call per id took 3 % of the time of an append.
const chance = Buffer.alloc(4096);
const ID_BYTES = 16;
let drawn = chance.length;

export const PREFIX_LENGTH = 3;
const form = new RegExp(`^[a-z]{${PREFIX_LENGTH}}_[${crockford}]{26}(?:_\\d+)?$`);

/** Whether a text has the form of an id of this service. The id of a passage ends with its index. */
export const isId = (text: string): boolean => form.test(text);

/** Returns a prefix such as `evt_` and a ULID (48 bits of milliseconds, 80 random bits) in lower case. The ids of one process sort by time. */
export function newId(prefix: string): string {
  let time = Date.now();
  let head = '';
  for (let i = 0; i < 10; i += 1) {
    head = crockford[time % 32] + head;
    time = Math.floor(time / 32);
  }
  let tail = '';
  if (drawn === chance.length) {
    randomFillSync(chance);
    drawn = 0;
  }
  for (const end = drawn + ID_BYTES; drawn < end; drawn += 1) tail += crockford[chance[drawn]! & 31];
  return `${prefix}_${head}${tail}`;
}
