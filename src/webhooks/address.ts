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

export class Refused extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'Refused';
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

/** What is wrong with a URL before anything is resolved. */
export function faultOf(text: string, allowPrivate: boolean): string | undefined {
  if (!URL.canParse(text)) return 'an absolute URL';
  const { protocol, username, password, hash, port, hostname } = new URL(text);
  if (protocol !== 'https:' && !(allowPrivate && protocol === 'http:')) return 'a URL that begins with https://';
  if (username !== '' || password !== '') return 'a URL without credentials: every delivery is signed';
  if (hash !== '') return 'a URL without a fragment';
  // services of other protocols live below; a web server is found at its own ports or above
  if (port !== '' && Number(port) < 1024 && !allowPrivate) return 'the port 443, or one from 1024 on';
  const literal = bare(hostname);
  if (!allowPrivate && (isIP(literal) !== 0 ? !isPublic(literal) : /(^|\.)localhost\.?$/i.test(literal)))
    return 'a host on the internet, not in a private network';
  return undefined;
}

/** `[::1]` without its brackets. */
export const bare = (hostname: string): string => hostname.replace(/^\[(.*)\]$/, '$1');

/** The address to connect to; throws Refused unless every address of the name may be reached. */
export async function admittedAddress(hostname: string, allowPrivate: boolean, resolve: Resolve): Promise<Address> {
  const addresses = await resolve(bare(hostname));
  if (addresses.length === 0) throw new Refused('the host has no address');
  if (!allowPrivate && !addresses.every(({ address }) => isPublic(address)))
    throw new Refused('the host has an address in a private or reserved network');
  return addresses[0]!;
}
