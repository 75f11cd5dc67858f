import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';

/**
 * The address a request comes from, behind exactly `hops` reverse proxies. Each of them appends whom it heard from, so only that
 * many entries from the right of X-Forwarded-For are anyone's word but the client's own.
 */
export function addressOf(req: IncomingMessage, hops: number): string {
  // A connection over a Unix socket, or one that is gone already, has none.
  const remote = plainAddress(req.socket.remoteAddress ?? '') ?? 'unknown';
  const forwarded = req.headers['x-forwarded-for'];
  if (hops === 0 || forwarded === undefined) return remote;
  const believed = String(forwarded).split(',').slice(-hops).reverse();
  let address = remote;
  for (const entry of believed) {
    const next = plainAddress(entry.trim());
    // What no proxy writes ends the chain at the last address that one did.
    if (next === undefined) return address;
    address = next;
  }
  return address;
}

const withPort = /^(?:\[(?<v6>[^\]]+)\](?::\d+)?|(?<v4>[\d.]+):\d+)$/;
const mapped = /^::ffff:(?<v4>\d+\.\d+\.\d+\.\d+)$/i;

/** Without port, zone and IPv4-mapping, so that one client has one name. */
function plainAddress(text: string): string | undefined {
  const groups = withPort.exec(text)?.groups;
  const bare = (groups?.v6 ?? groups?.v4 ?? text).split('%', 1)[0]!;
  const address = mapped.exec(bare)?.groups?.v4 ?? bare;
  return isIP(address) === 0 ? undefined : address.toLowerCase();
}
