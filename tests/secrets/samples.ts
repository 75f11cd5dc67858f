import { createHmac, generateKeyPairSync, randomBytes, randomInt, randomUUID } from 'node:crypto';

// Secrets of every kind, generated for each run from parts, so that no scanner reports this file.

const UPPER = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ';
const LOWER = UPPER.toLowerCase();
const DIGITS = '0123456789';
const pick = (alphabet: string, n: number): string =>
  Array.from({ length: n }, () => alphabet[randomInt(alphabet.length)]).join('');
// the end must look random too, and not like the first word of the next line
const word = (n: number) => (n < 12 ? pick(UPPER + LOWER + DIGITS, n) : `${pick(UPPER + LOWER + DIGITS, n - 3)}4kZ`);
const alnum = (n: number) => `a1Z${word(n - 3)}`;
const hex = (n: number) => pick('0123456789abcdef', n);
const join = (...parts: string[]) => parts.join('');
const url64 = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

export interface Sample {
  kind: string;
  /** The value that must not be stored anywhere. */
  secret: string;
  /** A typical text that contains the secret. */
  text: string;
}

const sample = (kind: string, secret: string, text = `use ${secret} for it`): Sample => ({ kind, secret, text });

function jsonWebToken(): string {
  const body = `${url64({ alg: 'HS256', typ: 'JWT' })}.${url64({ sub: '1234', name: 'Ann', iat: 1_700_000_000 })}`;
  return `${body}.${createHmac('sha256', randomBytes(16)).update(body).digest('base64url')}`;
}

export const pemKey = (): string =>
  generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();

/** Tokens of known issuers, which are found anywhere, in one piece or broken over lines. */
export function tokenSamples(): Sample[] {
  return [
    sample('aws-access-key', join('AK', 'IA', pick(`${UPPER}234567`, 16))),
    sample('gcp-api-key', join('AI', 'za', word(35))),
    sample('gcp-oauth-secret', join('GOC', 'SPX-', word(28))),
    sample('azure-client-secret', join(word(3), '8', 'Q~', word(34))),
    sample('github-token', join('gh', 'p_', word(36))),
    sample('github-oauth', join('gh', 'o_', word(36))),
    sample('github-fine-grained-token', join('github', '_pat_', word(22), '_', word(59))),
    sample('gitlab-token', join('gl', 'pat-', alnum(20))),
    sample('slack-token', join('xo', 'xb-', pick(DIGITS, 12), '-', pick(DIGITS, 12), '-', word(24))),
    sample('slack-webhook', join('https://hooks.sl', 'ack.com/services/T', pick(UPPER, 8), '/B', pick(UPPER, 8), '/', word(24))),
    sample('stripe-key', join('sk', '_live_', alnum(24))),
    sample('twilio-key', join('S', 'K', hex(32))),
    sample('sendgrid-key', join('S', 'G.', word(22), '.', word(43))),
    sample('npm-token', join('np', 'm_', word(36))),
    sample('pypi-token', join('pyp', 'i-AgE', 'IcHlwaS5vcmc', word(80))),
    sample('openai-key', join('s', 'k-', alnum(48))),
    sample('openai-project-key', join('s', 'k-proj-', alnum(60))),
    sample('anthropic-key', join('s', 'k-ant-', 'api03-', word(93), 'AA')),
    sample('huggingface-token', join('h', 'f_', pick(UPPER + LOWER, 34))),
    sample('digitalocean-token', join('do', 'p_v1_', hex(64))),
    sample('telegram-bot-token', join('1', pick(DIGITS, 9), ':', 'AA', word(33))),
    sample('discord-token', join('MT', word(24), '.', word(6), '.', word(38))),
    sample('shopify-token', join('shp', 'at_', hex(32))),
    sample('databricks-token', join('da', 'pi', hex(32))),
    sample('vault-token', join('hv', 's.', alnum(90))),
    sample('jwt', jsonWebToken()),
    sample('groq-key', join('g', 'sk_', word(52))),
  ];
}

/** Secrets that are found by the text next to them. */
export function namedSamples(): Sample[] {
  const secret = (n = 20) => `${alnum(n)}9x`;
  const named = (kind: string, value: string, text: (value: string) => string) => sample(kind, value, text(value));
  const pair = `deploy:${secret(12)}`;
  return [
    named('aws-secret-key', `${alnum(20)}/+${word(18)}`, (v) => `aws_secret_access_key = ${v}`),
    named(
      'azure-storage',
      `${randomBytes(64).toString('base64')}`,
      (v) => `AccountName=acc;AccountKey=${v};EndpointSuffix=core.windows.net`,
    ),
    named('twilio-auth-token', hex(32), (v) => `TWILIO_AUTH_TOKEN=${v}`),
    named('postgres-url', secret(12), (v) => `postgres://app:${v}@db.internal:5432/app`),
    named('mysql-url', secret(12), (v) => `mysql://root:${v}@10.0.0.2/shop`),
    named('mongodb-url', secret(12), (v) => `mongodb+srv://svc:${v}@cluster0.mongodb.net/?retryWrites=true`),
    named('amqp-url', secret(12), (v) => `amqp://guest:${v}@rabbit:5672/%2f`),
    named('redis-url', secret(12), (v) => `redis://:${v}@cache:6379/0`),
    named('basic-url', secret(12), (v) => `git clone https://ann:${v}@git.corp.com/r.git`),
    named('bearer-header', secret(32), (v) => `Authorization: Bearer ${v}`),
    named('basic-header', Buffer.from(pair).toString('base64'), (v) => `Authorization: Basic ${v}`),
    named('api-key-header', secret(24), (v) => `curl -H 'X-Api-Key: ${v}' https://api.corp.com`),
    named('password-assignment', secret(10), (v) => `password = ${v}`),
    named('password-quoted', `${word(6)}!x$${word(5)}`, (v) => `const dbPassword = "${v}";`),
    named('password-said', `hunter${word(3)}2hunter2`, (v) => `By the way, my password is ${v}, please remember it.`),
    named('password-said-for', `hunter${word(3)}2hunter2`, (v) => `The password for the staging server is: ${v}`),
    named('password-json-text', secret(8), (v) => `{"user":"ann","password":"${v}"}`),
    named('password-escaped-json', secret(8), (v) => `"{\\"user\\":\\"ann\\",\\"password\\":\\"${v}\\"}"`),
    named('password-env', `${pick(LOWER, 12)}`, (v) => `DB_PASSWORD=${v}`),
    named('password-yaml', secret(10), (v) => `db:\n  password: '${v}'\n  host: x`),
    named('password-xml', secret(10), (v) => `<login><password>${v}</password></login>`),
    named('password-flag', secret(10), (v) => `mytool --user ann --password ${v} --dry-run`),
    named('curl-user', secret(10), (v) => `curl -u ann:${v} https://api.corp.com`),
    named('client-secret', secret(30), (v) => `clientSecret: '${v}'`),
    named('api-key-said', secret(30), (v) => `my api key is ${v}`),
    named('sql-password', secret(10), (v) => `ALTER USER app WITH PASSWORD '${v}'`),
    named('query-token', secret(24), (v) => `https://api.corp.com/v1?access_token=${v}&page=2`),
  ];
}

/** More than 200 texts that look like secrets and are none. */
export function harmlessTexts(): string[] {
  const many = <T>(n: number, make: (i: number) => T): T[] => Array.from({ length: n }, (_, i) => make(i));
  const lorem = 'Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore.';
  return [
    ...many(25, () => hex(64)),
    ...many(20, () => `sha256:${hex(64)}`),
    ...many(20, () => `commit ${hex(40)} fixes the build`),
    ...many(15, () => `request ${randomUUID()} took 12 ms`),
    ...many(10, () => `{"id":"${randomUUID()}","etag":"${hex(32)}"}`),
    ...many(10, () => `data:image/png;base64,iVBORw0KGgo${randomBytes(300).toString('base64')}`),
    ...many(10, () => `integrity: sha512-${randomBytes(64).toString('base64')}`),
    ...many(10, () => `index ${hex(7)}..${hex(7)} 100644`),
    ...many(10, (i) => `agent-memory@1.${i}.${i * 3}-beta.2+build.${hex(8)}`),
    ...many(10, (i) => `${lorem} ${i}`),
    ...many(10, () => Buffer.from(lorem + randomInt(99)).toString('base64')),
    ...many(10, () => `evt_${pick(LOWER + DIGITS, 26)} cites chk_${pick(LOWER + DIGITS, 26)}_0`),
    ...many(5, () => `-----BEGIN CERTIFICATE-----\n${randomBytes(200).toString('base64')}\n-----END CERTIFICATE-----`),
    ...many(5, () => `ssh-ed25519 AAAAC3NzaC1lZDI1NTE5${randomBytes(36).toString('base64')} ann@laptop`),
    ...code,
  ];
}

const code = [
  'password: ********',
  'password = "********"',
  'api_key: <YOUR_API_KEY>',
  'apiKey: process.env.API_KEY',
  'const key = process.env.API_KEY!;',
  'api_key = os.environ["API_KEY"]',
  'token = await getToken()',
  'password: z.string().min(8)',
  'password: string',
  'token: string | undefined',
  'secret: config.secret',
  'const { password, token } = req.body;',
  'if (password.length < 12) throw new Error("too short")',
  'max_tokens: 4096',
  '"max_tokens": 4096, "token_type": "bearer"',
  'The token budget is 2000 tokens.',
  'tokenizer: o200k_base',
  'password: ${DB_PASSWORD}',
  'PASSWORD=$DB_PASSWORD',
  'password: {{ vault_password }}',
  'password = "<password>"',
  'Enter your password:',
  '{"label":"Password","placeholder":"Enter your password"}',
  'The password is wrong.',
  'your password is required',
  'The secret is out.',
  'password must be at least 8 characters',
  'Authorization: Bearer <token>',
  'Authorization: Bearer $TOKEN',
  'Authorization: Bearer ${token}',
  'export API_KEY=your-api-key-here',
  'postgres://user:password@localhost:5432/db',
  'postgres://localhost:5432/db',
  'https://example.com:8080/a@b',
  'primary key: user_id',
  'the key is under the mat',
  'cache_key=events:v2:page-3',
  'sort keys by name',
  'const publicKey = "id_rsa.pub"',
  'token = tokens[i + 1]',
  'return bcrypt.compare(password, hash)',
  'secretName: db-credentials',
  'secretKeyRef: { name: db, key: password }',
  'password_hash text not null',
  'create table secrets (id text primary key, secret bytea)',
  'git push --force-with-lease origin main',
  'password === confirmPassword',
  'this.password = password',
  'token: this.tokens.access',
  'x-api-key',
  'The passenger passed the compass.',
  'AKIAIOSFODNN7EXAMPLE',
  'sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx',
  'task-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
  'ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx',
  'candidate_pool_max = 500',
  'def test_password_reset_token_expires(): assert 1',
  'async function refreshAccessToken(refreshToken: string) {}',
  '-----BEGIN PRIVATE KEY----- is the first line of a PEM file',
  'JWT_SECRET: optional(z.string())',
  'docker run -u 1000:1000 alpine',
  'auth.identify(req)',
];
