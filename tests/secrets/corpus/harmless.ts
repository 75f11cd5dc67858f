import type { Random } from './random.ts';

// Values that look like secrets and are none: they must be unchanged.

type Make = (r: Random, i: number) => unknown;
const regions =
  'eu-west-1 us-east-1 us-east-2 ap-southeast-2 eu-central-1 us-gov-west-1 europe-west4 asia-northeast1 westus2 northeurope me-south-1 sa-east-1'.split(
    ' ',
  );
const currencies = 'USDC EUR USDT ETH BTC USD GBP JPY SOL MATIC WETH DAI'.split(' ');
const files = 'tests/auth/login.test.ts src/pass.ts docs/password.md lib/token_parser2.rs config/secrets.example.yml'.split(' ');

export const generated: [kind: string, count: number, make: Make][] = [
  ['sha256', 12, (r) => `sha256:${r.hex(64)}`],
  ['commit', 12, (r) => `commit ${r.hex(40)} fixes the build`],
  ['md5', 8, (r) => `md5(${r.hex(32)})`],
  ['uuid', 12, (r) => `request ${r.uuid()} took 12 ms`],
  ['uuid-json', 8, (r) => ({ id: r.uuid(), etag: r.hex(32), session_id: r.uuid() })],
  ['image', 8, (r) => `data:image/png;base64,iVBORw0KGgo${r.base64(300)}`],
  ['integrity', 8, (r) => `integrity: sha512-${r.base64(64)}`],
  ['certificate', 6, (r) => `-----BEGIN CERTIFICATE-----\n${r.base64(200)}\n-----END CERTIFICATE-----`],
  ['public-key', 6, (r) => `ssh-ed25519 AAAAC3NzaC1lZDI1NTE5${r.base64(36)} ann@laptop`],
  ['version', 10, (r) => `agent@1.${r.next(40)}.${r.next(90)}-beta.2+build.${r.hex(8)}`],
  ['ids', 12, (r) => `evt_${r.lower(20)}${r.digits(6)} cites chk_${r.lower(20)}${r.digits(6)}_0`],
  ['pass-count', 14, (r) => ({ pass: r.next(100_000), fail: r.next(9), skip: r.next(90) })],
  ['pass-text', 10, (r) => `pass: ${1000 + r.next(9000)}, fail: ${r.next(99)}`],
  ['pass-tap', 6, (r) => `# tests ${r.digits(4)}\n# pass ${r.digits(4)}\n# fail 0`],
  ['pass-jest', 8, (r) => `PASS ${r.one(files)} (${r.next(60)}.${r.next(999)} s)`],
  ['attempts', 10, (r) => ({ password_attempts: 1000 + r.next(9000), login_token_count: r.digits(5) })],
  ['attempts-text', 8, (r) => `password_attempts=${r.digits(6)} password_min_length: ${r.digits(4)}`],
  ['token-count', 14, (r) => `prompt_tokens: ${r.digits(5)}, completion_tokens: ${r.digits(4)}, total_tokens=${r.digits(6)}`],
  [
    'token-budget',
    8,
    (r) => ({ usage: { input_tokens: 12 + r.next(99_999), output_tokens: r.next(999), tokens: { prompt: r.next(9999) } } }),
  ],
  ['token-region', 12, (r) => `token: ${r.one(regions)}`],
  ['token-region-json', 12, (r) => ({ token: r.one(regions), secret: r.one(regions) })],
  [
    'token-currency',
    12,
    (r) => r.one<unknown>([`token ${r.one(currencies)}`, { token: r.one(currencies) }, `token: "${r.one(currencies)}"`]),
  ],
  ['urn', 8, (r) => `token=urn:ietf:params:oauth:token-type:${r.one(['access_token', 'jwt', 'saml2'])}`],
  ['urn-json', 6, (r) => ({ token: `urn:uuid:${r.uuid()}`, subject_token_type: 'urn:ietf:params:oauth:token-type:jwt' })],
  [
    'algorithm',
    8,
    (r) => `the token is ${r.one(['JWT/RS256-signed', 'HS256-signed', 'JWT-encoded', 'SHA256-hashed', 'base64url-encoded'])}`,
  ],
  ['paging', 10, (r) => ({ next_page_token: r.word(24), page_token: r.word(20), cursor: r.word(30) })],
  ['csrf-name', 6, (r) => `sort key: created_at_${r.next(9)}, cache_key=events:v2:page-${r.next(99)}`],
  ['hash-name', 8, (r) => ({ password_hash: `$2b$10$${r.word(53)}`, token_hash: r.hex(64) })],
  ['time', 8, (r) => ({ password_changed_at: `2026-01-${10 + r.next(18)}T10:00:00Z`, token_expires_in: r.digits(4) })],
  ['env-reference', 8, (r) => `PASSWORD=$${r.upper(6)}_PASSWORD TOKEN=\${${r.upper(5)}_TOKEN}`],
  [
    'placeholder',
    12,
    (r) =>
      `api_key: ${r.one(['<YOUR_API_KEY>', '********', 'your-api-key-here', 'xxxxxxxxxxxxxxxx', '{{ api_key }}', '%API_KEY%', '[redacted:api-key]', 'changeme'])}`,
  ],
  ['shell-directory', 8, (r) => `PWD=/home/${r.lower(5)}/work${r.next(9)} OLDPWD=/srv/${r.lower(6)}1`],
  [
    'key-name',
    10,
    (r) => ({ key: `${r.lower(6)}:${r.digits(4)}`, primary_key: `user_${r.digits(5)}`, foreign_key: `order_${r.digits(5)}` }),
  ],
  [
    'url',
    10,
    (r) => `https://h.test/${r.lower(6)}/${r.digits(6)}?page=${r.next(99)}&sort=created_at&q=${r.lower(5)}%20${r.lower(4)}`,
  ],
  ['url-port', 6, (r) => `https://h.test:${r.digits(4)}/a@${r.lower(4)} postgres://localhost:5432/${r.lower(5)}`],
  ['cookie-plain', 6, (r) => `Cookie: theme=dark; lang=de-DE; width=${r.digits(4)}`],
  [
    'log',
    12,
    (r) => `2026-02-0${1 + r.next(9)} INFO user ${r.lower(5)} changed their password from 10.0.${r.next(255)}.${r.next(255)}`,
  ],
  ['diff', 8, (r) => `index ${r.hex(7)}..${r.hex(7)} 100644\n--- a/${r.one(files)}\n+++ b/${r.one(files)}`],
  ['grep', 8, (r) => `${r.one(files)}:${r.digits(3)}:12: password field is required`],
  ['coordinates', 6, (r) => ({ at: [r.next(9e6) / 1e5, r.next(9e6) / 1e5], session: r.digits(10) })],
  ['math', 6, (r) => `key = ${r.digits(3)} * ${r.digits(3)} + ${r.digits(3)}; token = tokens[${r.next(9)}]`],
  [
    'header-plain',
    6,
    (r) => ({
      headers: [
        ['Content-Type', 'application/json'],
        ['X-Request-Id', r.uuid()],
        ['ETag', `"${r.hex(16)}"`],
      ],
    }),
  ],
  ['argv-plain', 6, (r) => ({ argv: ['git', 'commit', '-m', `fix password reset ${r.digits(3)}`, '--author', 'ann'] })],
  [
    'map-plain',
    6,
    (r) => ({ secrets: { mode: 'encrypt', region: r.one(regions), rotation_days: r.next(90) }, tokens: { used: r.next(9999) } }),
  ],
  [
    'base64-prose',
    6,
    (r) => Buffer.from(`The build number ${r.digits(5)} printed this line and went on with the next step.`).toString('base64'),
  ],
];
