import type { IncomingMessage } from 'node:http';
import fc from 'fast-check';
import { addressOf } from '../../src/http/address.ts';

const from = (remoteAddress: string | undefined, forwarded?: string) =>
  ({
    socket: { remoteAddress },
    headers: forwarded === undefined ? {} : { 'x-forwarded-for': forwarded },
  }) as unknown as IncomingMessage;

test.each([
  ['no proxy: the peer, whatever the header says', 0, '10.0.0.1', '1.1.1.1', '10.0.0.1'],
  ['one proxy: the entry it wrote', 1, '10.0.0.1', '9.9.9.9, 1.1.1.1', '1.1.1.1'],
  ['two proxies: the entry the outer one wrote', 2, '10.0.0.1', '9.9.9.9, 1.1.1.1,10.0.0.2', '1.1.1.1'],
  ['fewer entries than proxies: the outermost there is', 3, '10.0.0.1', '1.1.1.1', '1.1.1.1'],
  ['no header behind a proxy: the peer', 1, '10.0.0.1', undefined, '10.0.0.1'],
  ['what is no address: the last address before it', 2, '10.0.0.1', 'junk, 1.1.1.1', '1.1.1.1'],
  ['an empty entry: the last address before it, not one that the client wrote', 2, '10.0.0.1', '9.9.9.9, , 1.1.1.1', '1.1.1.1'],
  ['an empty header: the peer', 1, '10.0.0.1', '', '10.0.0.1'],
  ['a port is cut off', 1, '10.0.0.1', '1.1.1.1:5000', '1.1.1.1'],
  ['brackets and port of IPv6 too', 1, '10.0.0.1', '[2001:DB8::1]:443', '2001:db8::1'],
  ['an IPv4-mapped peer is an IPv4 peer', 0, '::ffff:192.0.2.7', undefined, '192.0.2.7'],
  ['a zone is no part of the address', 0, 'fe80::1%eth0', undefined, 'fe80::1'],
  ['a connection without an address has a name', 0, undefined, undefined, 'unknown'],
])('%s', (_, hops, peer, forwarded, expected) => {
  expect(addressOf(from(peer, forwarded), hops)).toBe(expected);
});

test('forged entries before those of the proxies have no effect', () => {
  fc.assert(
    fc.property(fc.string(), fc.ipV4(), fc.ipV4(), (forged, client, proxy) => {
      expect(addressOf(from('10.0.0.1', `${forged},${client}, ${proxy}`), 2)).toBe(client);
    }),
  );
});
