import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

// Where a webhook may go. A tenant's admin chooses the URL, so it must not reach what only this daemon can: its own host, its network,
// the metadata of its cloud. A name is resolved once a delivery, all its addresses are judged, and the connection is made to one of
// those: a name that answers differently the second time gains nothing.

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

/** Whether an address belongs to the internet at large. IPv4 inside IPv6 (mapped, NAT64, 6to4, Teredo) never does. */
export function isPublic(address: string): boolean {
  if (isIP(address) === 0) return false;
  const parsed = ipaddr.parse(address);
  if (parsed.range() !== 'unicast') return false;
  return parsed.kind() === 'ipv4' || (parsed as ipaddr.IPv6).match(globalUnicast);
}

/** How far deliveries may go: `loopback` is the internet and this machine, for development. */
export type Reach = 'internet' | 'loopback' | 'anywhere';

const MAX_URL_LENGTH = 2000;

/** The URL in its normal form, as it is stored and called, or what is wrong with it before anything is resolved. */
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
  const lifted = reach === 'anywhere' || (reach === 'loopback' && local);
  if (protocol !== 'https:' && !(lifted && protocol === 'http:'))
    return 'must begin with https:// (WEBHOOK_ALLOW_PRIVATE=true allows http://)';
  if (username !== '' || password !== '') return 'must not contain credentials: every delivery is signed';
  if (hash !== '') return 'must not contain a fragment';
  if (href.length > MAX_URL_LENGTH) return `must have at most ${MAX_URL_LENGTH} characters once encoded`;
  // services of other protocols live below; a web server is found at its own ports or above
  if (port !== '' && Number(port) < 1024 && reach !== 'anywhere') return 'must use port 443 or a port from 1024 on';
  if (!lifted && (local || !(isName || isPublic(host))))
    return 'must name a host on the internet, not in a private network (WEBHOOK_ALLOW_PRIVATE=true allows private networks)';
  return undefined;
}

const isLoopback = (address: string): boolean => isIP(address) !== 0 && ipaddr.parse(address).range() === 'loopback';

/** Outside production a daemon that serves only its own machine also delivers to it. */
export const reachOf = (settings: { WEBHOOK_ALLOW_PRIVATE: boolean; NODE_ENV: string }, host: string): Reach => {
  if (settings.WEBHOOK_ALLOW_PRIVATE) return 'anywhere';
  const local = isLoopback(withoutBrackets(host)) || host === 'localhost';
  return settings.NODE_ENV !== 'production' && local ? 'loopback' : 'internet';
};

/** `[::1]` without its brackets. */
const withoutBrackets = (hostname: string): string => hostname.replace(/^\[(.*)\]$/, '$1');

/**
 * The address to connect to; throws AddressRefused unless every address of the name may be reached. The text is the same whether the name is
 * unknown or private: who chooses URLs must not learn the names of the network behind the daemon.
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
