import { createHash } from 'node:crypto';
import { ipKeyGenerator } from 'express-rate-limit';

/** Number of failures without a wait. Each further failure doubles the wait, from 1 s to 60 s. */
export const FREE_PER_ACCOUNT = 10;
/** Higher, because many people may share an address. */
export const FREE_PER_ADDRESS = 100;

export interface ThrottleKeys {
  account: Buffer;
  address: Buffer;
}

/**
 * Returns the keys under which failures are counted. The account's key includes the address, so guesses from elsewhere never lock the owner
 * out. Both are hashes, because an attempted username can be any text, such as a password typed into the wrong field.
 */
export function throttleKeys(tenant_id: string, username: string, address: string): ThrottleKeys {
  const network = networkOf(address);
  return {
    account: digest(['account', tenant_id.toLowerCase(), username.toLowerCase(), network]),
    address: digest(['address', network]),
  };
}

const digest = (parts: string[]) => createHash('sha256').update(JSON.stringify(parts)).digest();

/** Groups addresses: an IPv6 /64 counts as one address, because its holder owns all of it; an IPv4-mapped address counts as IPv4. */
export const networkOf = (address: string): string => {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  return mapped ? mapped[1]! : ipKeyGenerator(address, 64);
};
