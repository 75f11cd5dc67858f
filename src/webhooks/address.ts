import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

// The addresses that a webhook may reach. A tenant's admin chooses the URL, so deliveries must not reach hosts that only this daemon can
// reach: its own host, its network or the metadata service of its cloud. A host name is resolved once per delivery, all of its addresses are
// checked, and the connection is made to one of them, so a name that resolves differently the second time (DNS rebinding) gains nothing.

export interface Address {
  address: string;
  family: number;
}
export type Resolve = (hostname: string) => Promise<Address[]>;

export const resolveName: Resolve = (hostname) => lookup(hostname, { all: true, verbatim: true });

export class AddressRefused extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'AddressRefused';
  }
}

const globalUnicast = ipaddr.IPv6.parseCIDR('2000::/3');

/** Returns whether an address is a public internet address. IPv4 embedded in IPv6 (mapped, NAT64, 6to4, Teredo) never is. */
export function isPublic(address: string): boolean {
  if (isIP(address) === 0) return false;
  const parsed = ipaddr.parse(address);
  if (parsed.range() !== 'unicast') return false;
  return parsed.kind() === 'ipv4' || (parsed as ipaddr.IPv6).match(globalUnicast);
}

/** The networks that deliveries may reach. `loopback` is the internet and this machine, for development. */
export type Reach = 'internet' | 'loopback' | 'anywhere';

const MAX_URL_LENGTH = 2000;

/** Returns the URL in the normalized form in which it is stored and requested, or what is wrong with it. Resolves no host name. */
export function normalUrl(text: string, reach: Reach): { url: string } | { fault: string } {
  if (!URL.canParse(text)) return { fault: 'must be an absolute URL' };
  const parsed = new URL(text);
  const fault = faultOf(parsed, reach);
  return fault === undefined ? { url: parsed.href } : { fault };
}

function faultOf({ protocol, username, password, hash, port, hostname, href }: URL, reach: Reach): string | undefined {
  const host = withoutBrackets(hostname);
  const isName = isIP(host) === 0;
  const local = isName ? /(^|\.)localhost\.?$/i.test(host) : isLoopback(host);
  const exempt = reach === 'anywhere' || (reach === 'loopback' && local);
  if (protocol !== 'https:' && !(exempt && protocol === 'http:'))
    return 'must begin with https:// (WEBHOOK_ALLOW_PRIVATE=true allows http://)';
  if (username !== '' || password !== '') return 'must not contain credentials; deliveries are authenticated by their signature';
  if (hash !== '') return 'must not contain a fragment';
  if (href.length > MAX_URL_LENGTH) return `must have at most ${MAX_URL_LENGTH} characters once encoded`;
  // lower ports belong to other protocols
  if (port !== '' && Number(port) < 1024 && reach !== 'anywhere') return 'must use port 443 or a port of at least 1024';
  if (!exempt && (local || !(isName || isPublic(host))))
    return 'must name a public host, not one in a private network (WEBHOOK_ALLOW_PRIVATE=true allows private networks)';
  return undefined;
}

const isLoopback = (address: string): boolean => isIP(address) !== 0 && ipaddr.parse(address).range() === 'loopback';

/** Outside of production, a daemon that listens only on loopback may also deliver to loopback. */
export const reachOf = (settings: { WEBHOOK_ALLOW_PRIVATE: boolean; NODE_ENV: string }, host: string): Reach => {
  if (settings.WEBHOOK_ALLOW_PRIVATE) return 'anywhere';
  const local = isLoopback(withoutBrackets(host)) || host === 'localhost';
  return settings.NODE_ENV !== 'production' && local ? 'loopback' : 'internet';
};

/** Returns `::1` for `[::1]`. */
const withoutBrackets = (hostname: string): string => hostname.replace(/^\[(.*)\]$/, '$1');

/**
 * Resolves a host name to the address to connect to. Throws AddressRefused unless every address of the name is allowed. The message is the
 * same for an unknown and a private name, because it must not reveal the names in the daemon's network.
 */
export async function resolveAllowed(hostname: string, reach: Reach, resolve: Resolve): Promise<Address> {
  const host = withoutBrackets(hostname);
  if (reach === 'anywhere') return first(await resolve(host));
  const addresses = await resolve(host).catch(() => []);
  const admitted = ({ address }: Address) => isPublic(address) || (reach === 'loopback' && isLoopback(address));
  if (addresses.length === 0 || !addresses.every(admitted))
    throw new AddressRefused('the host does not resolve to a public address');
  return first(addresses);
}

function first([address]: Address[]): Address {
  if (!address) throw new AddressRefused('the host has no address');
  return address;
}
