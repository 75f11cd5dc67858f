import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';

/**
 * Returns the client address of a request behind exactly `hops` reverse proxies. Each proxy appends its peer's address to
 * X-Forwarded-For, so only the last `hops` entries are trustworthy; the client may have forged the others.
 */
export function addressOf(req: IncomingMessage, hops: number): string {
  // A Unix socket and a connection that has already closed have no address.
  const remote = plainAddress(req.socket.remoteAddress ?? '') ?? 'unknown';
  const forwarded = req.headers['x-forwarded-for'];
  if (hops === 0 || forwarded === undefined) return remote;
  const trusted = String(forwarded).split(',').slice(-hops).reverse();
  let address = remote;
  for (const entry of trusted) {
    const next = plainAddress(entry.trim());
    // A proxy never writes an invalid entry: the last valid address is the client's.
    if (next === undefined) return address;
    address = next;
  }
  return address;
}

const withPort = /^(?:\[(?<v6>[^\]]+)\](?::\d+)?|(?<v4>[\d.]+):\d+)$/;
const mapped = /^::ffff:(?<v4>\d+\.\d+\.\d+\.\d+)$/i;

/** Strips the port, the zone and the IPv4-mapped prefix, so that a client always has the same address. */
function plainAddress(text: string): string | undefined {
  const groups = withPort.exec(text)?.groups;
  const bare = (groups?.v6 ?? groups?.v4 ?? text).split('%', 1)[0]!;
  const address = mapped.exec(bare)?.groups?.v4 ?? bare;
  return isIP(address) === 0 ? undefined : address.toLowerCase();
}
