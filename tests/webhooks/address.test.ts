import { AddressRefused, isPublic, normalUrl, type Reach, reachOf, resolveAllowed } from '../../src/webhooks/address.ts';
import { post, retryAfterMs } from '../../src/webhooks/send.ts';
import { type Receiver, startReceiver } from './receiver.ts';

const inside = [
  ['loopback', ['127.0.0.1', '127.255.255.254', '::1', '0.0.0.0', '::']],
  ['private', ['10.1.2.3', '172.16.0.1', '172.31.255.255', '192.168.1.1', 'fc00::1', 'fdff::1', 'fec0::1']],
  ['link-local and metadata', ['169.254.169.254', '169.254.1.1', 'fe80::1', 'fd00:ec2::254']],
  ['carrier-grade NAT', ['100.64.0.1', '100.127.255.255']],
  ['IPv4 inside IPv6', ['::ffff:127.0.0.1', '::ffff:7f00:1', '::ffff:8.8.8.8', '::127.0.0.1', '::ffff:0:127.0.0.1']],
  ['NAT64, 6to4, Teredo', ['64:ff9b::7f00:1', '64:ff9b::808:808', '64:ff9b:1::1', '2002:7f00:1::', '2001:0:1::1']],
  [
    'reserved, multicast, documentation',
    ['192.0.2.1', '198.18.0.1', '240.0.0.1', '255.255.255.255', '224.0.0.1', 'ff02::1', '2001:db8::1', '100::1'],
  ],
  ['no address', ['example.com', '', '1.2.3', '0x7f.1']],
] as const;
test.each(inside)('%s is not public', (_, addresses) => {
  expect(addresses.filter(isPublic)).toEqual([]);
});

test('internet addresses are public', () => {
  const outside = [
    '8.8.8.8',
    '1.1.1.1',
    '172.15.0.1',
    '172.32.0.1',
    '100.63.255.255',
    '2606:4700:4700::1111',
    '2a00:1450:4001::1',
  ];
  expect(outside.filter((address) => !isPublic(address))).toEqual([]);
});

test.each([
  ['http://example.com/', 'https'],
  ['ftp://example.com/', 'https'],
  ['javascript:alert(1)', 'https'],
  ['/hook', 'absolute'],
  ['https://', 'absolute'],
  ['https://user:pass@example.com/', 'credentials'],
  ['https://user@example.com/', 'credentials'],
  ['https://example.com/#x', 'fragment'],
  ['https://example.com:22/', 'port'],
  ['https://example.com:25/', 'port'],
  ['https://localhost/', 'private'],
  ['https://x.localhost./', 'private'],
  ['https://127.0.0.1/', 'private'],
  ['https://2130706433/', 'private'],
  ['https://0x7f.1/', 'private'],
  ['https://0177.0.0.1/', 'private'],
  ['https://[::1]/', 'private'],
  ['https://[::ffff:169.254.169.254]/', 'private'],
  ['https://１２７.0.0.1/', 'private'],
  ['HTTP://example.com/', 'WEBHOOK_ALLOW_PRIVATE'],
  ['http://localhost:8080/', 'WEBHOOK_ALLOW_PRIVATE'],
  [`https://example.com/${'é'.repeat(400)}`, '2000 characters'],
])('%s is refused: %s', (url, why) => {
  expect(normalUrl(url, 'internet')).toEqual({ fault: expect.stringContaining(why) });
});

const taken = (urls: string[], reach: Reach) => urls.map((url) => normalUrl(url, reach));

test('public URLs are accepted, and with WEBHOOK_ALLOW_PRIVATE those of any network', () => {
  const fine = ['https://example.com/hook?x=1', 'https://example.com:8443/', 'https://8.8.8.8/', 'https://[2606:4700::1]/'];
  expect(taken(fine, 'internet')).toEqual(fine.map((url) => ({ url })));
  expect(taken(['http://127.0.0.1:81/', 'http://receiver.internal/'], 'anywhere')).toEqual([
    { url: 'http://127.0.0.1:81/' },
    { url: 'http://receiver.internal/' },
  ]);
});

test('a URL is stored in the normalized form in which it is requested', () => {
  expect(
    taken(['HTTPS://Example.COM:443/a b?q=x y', ' https://example.com/\u00e9\n', 'https://bücher.example'], 'internet'),
  ).toEqual([
    { url: 'https://example.com/a%20b?q=x%20y' },
    { url: 'https://example.com/%C3%A9' },
    { url: 'https://xn--bcher-kva.example/' },
  ]);
});

test('a development daemon that listens only on loopback also delivers to loopback, and to no other private address', () => {
  const of = (NODE_ENV: string, host: string, WEBHOOK_ALLOW_PRIVATE = false) =>
    reachOf({ NODE_ENV, WEBHOOK_ALLOW_PRIVATE }, host);
  expect(['127.0.0.1', '::1', 'localhost', '0.0.0.0', '10.0.0.1'].map((host) => of('development', host))).toEqual([
    'loopback',
    'loopback',
    'loopback',
    'internet',
    'internet',
  ]);
  expect([of('production', '127.0.0.1'), of('production', '0.0.0.0', true)]).toEqual(['internet', 'anywhere']);
  const local = ['http://127.0.0.1:8080/x', 'http://[::1]:8080/', 'http://localhost:8080/', 'https://example.com/'];
  expect(taken(local, 'loopback')).toEqual(local.map((url) => ({ url })));
  for (const url of [
    'http://example.com/',
    'http://10.0.0.1/',
    'https://10.0.0.1/',
    'https://169.254.169.254/',
    'http://127.0.0.1:22/',
  ])
    expect(normalUrl(url, 'loopback')).toEqual({ fault: expect.any(String) });
});

test.each([
  ['120', 120_000],
  [' 0 ', 0],
  ['Wed, 21 Oct 2026 07:28:30 GMT', 30_000],
  ['Wed, 21 Oct 2020 07:28:00 GMT', 0],
  ['soon', undefined],
  ['-5', undefined],
  ['1e9', undefined],
  [undefined, undefined],
])('Retry-After %p is %p ms', (header, ms) => {
  expect(retryAfterMs(header, Date.parse('2026-10-21T07:28:00Z'))).toBe(ms);
});

describe('delivering to a host name', () => {
  let receiver: Receiver;
  beforeAll(async () => {
    receiver = await startReceiver();
  });
  afterAll(() => receiver.close());
  const never = new AbortController().signal;
  const resolving = (...addresses: string[]) => {
    const lookups: string[] = [];
    const resolve = (hostname: string) => {
      lookups.push(hostname);
      return Promise.resolve(addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })));
    };
    return { asked: lookups, resolve };
  };
  const deliver = (reach: Reach, resolve: ReturnType<typeof resolving>['resolve'], timeoutMs = 2000) =>
    post(receiver.url.replace('127.0.0.1', 'hook.example'), {}, '{}', { reach, timeoutMs, resolve }, never);

  test('a name with one private address among public ones is refused, and nothing is sent', async () => {
    for (const addresses of [['127.0.0.1'], ['8.8.8.8', '10.0.0.1'], ['2606:4700::1', '::ffff:127.0.0.1'], []])
      await expect(resolveAllowed('hook.example', 'internet', resolving(...addresses).resolve)).rejects.toThrow(AddressRefused);
    const unknown = () => Promise.reject(Object.assign(new Error('getaddrinfo ENOTFOUND hook.example'), { code: 'ENOTFOUND' }));
    const errors = await Promise.all(
      [resolving('127.0.0.1').resolve, resolving('8.8.8.8', '10.0.0.1').resolve, resolving().resolve, unknown].map(
        async (resolve) => (await deliver('internet', resolve)).error,
      ),
    );
    // the same message for all, so that it does not reveal whether a private name exists
    expect(new Set(errors)).toEqual(new Set(['the host does not resolve to a public address']));
    expect(receiver.got).toEqual([]);
  });

  test('the name is resolved once and the connection goes to that address, so DNS rebinding gains nothing', async () => {
    const { asked, resolve } = resolving('127.0.0.1');
    expect(await deliver('anywhere', resolve)).toMatchObject({ status_code: 204, error: null });
    expect([asked, receiver.got.at(-1)?.headers.host]).toEqual([
      ['hook.example'],
      new URL(receiver.url).host.replace('127.0.0.1', 'hook.example'),
    ]);

    let answers = 0;
    const rebinding = () => Promise.resolve([{ address: answers++ === 0 ? '192.0.2.1' : '127.0.0.1', family: 4 }]);
    const before = receiver.got.length;
    // a check would have accepted the first answer; the connection goes to that same address, where nobody listens
    expect((await deliver('anywhere', rebinding, 300)).error).not.toBeNull();
    expect([answers, receiver.got.length]).toEqual([1, before]);
  });

  test('redirects are not followed, and slow responses and lookups time out', async () => {
    receiver.react(() => 302);
    expect(await deliver('anywhere', resolving('127.0.0.1').resolve)).toMatchObject({ status_code: 302, error: 'answered 302' });
    receiver.react(() => new Promise(() => undefined));
    expect(await deliver('anywhere', resolving('127.0.0.1').resolve, 200)).toMatchObject({
      status_code: null,
      error: 'no answer within 200 ms',
    });
    expect(await deliver('anywhere', () => new Promise(() => undefined), 200)).toMatchObject({
      error: 'no answer within 200 ms',
    });
  });
});
