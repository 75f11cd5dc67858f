import { randomFillSync } from 'node:crypto';

const crockford = '0123456789abcdefghjkmnpqrstvwxyz';

// Chance is drawn in bulk: asking the system for each id was 3 % of an append.
const chance = Buffer.alloc(4096);
const ID_BYTES = 16;
let drawn = chance.length;

export const PREFIX_LENGTH = 3;
const form = new RegExp(`^[a-z]{${PREFIX_LENGTH}}_[${crockford}]{26}(?:_\\d+)?$`);

/** Whether it has the form of an id of the service; that of a passage ends with its place. */
export const isId = (text: string): boolean => form.test(text);

/** `evt_` and the like, then a ULID (48 bits of ms, 80 of chance) in lower case: ids of one process sort by time. */
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
