import { createHash } from 'node:crypto';
import { ipKeyGenerator } from 'express-rate-limit';

/** Failures that cost no waiting; each one after them doubles it, from 1 s to 60 s. */
export const FREE_PER_ACCOUNT = 10;
/** Many people may share an address. */
export const FREE_PER_ADDRESS = 100;

export interface ThrottleKeys {
  account: Buffer;
  address: Buffer;
}

/**
 * What failures are counted under. The account's key has the address in it: guessing from elsewhere never keeps an owner out.
 * Hashes, because names that were tried may be anything, a password typed into the wrong field too.
 */
export function throttleKeys(tenant_id: string, username: string, address: string): ThrottleKeys {
  const network = networkOf(address);
  return {
    account: digest(['account', tenant_id.toLowerCase(), username.toLowerCase(), network]),
    address: digest(['address', network]),
  };
}

const digest = (parts: string[]) => createHash('sha256').update(JSON.stringify(parts)).digest();

/** A holder of IPv6 has 2^64 addresses at least: they count as one. An IPv4 address written as IPv6 is that IPv4 address. */
export const networkOf = (address: string): string => {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  return mapped ? mapped[1]! : ipKeyGenerator(address, 64);
};
