import type { Random } from './random.ts';

// Phrasings that were not used to develop the detector. At first it found 58 of 65 secrets and redacted none of 106 harmless texts; the missed ones
// were fixed, so these phrasings are no longer unseen (docs/decisions/secret-rules.md).

type Secret = [kind: string, secret: (r: Random) => string, text: (secret: string, r: Random) => unknown];
const j = (...parts: string[]) => parts.join('');

export const unseenSecrets: Secret[] = [
  ['github in a remote', (r) => j('gh', 'p_', r.word(36)), (s) => `git remote set-url origin https://${s}@github.com/o/r.git`],
  ['gitlab ci', (r) => j('gl', 'cbt-', r.hex(2), '_', r.word(20)), (s) => `CI_JOB_TOKEN=${s}`],
  ['anthropic in python', (r) => j('sk-', 'ant-api03-', r.word(95)), (s) => `client = anthropic.Anthropic(api_key="${s}")`],
  ['openai in yaml', (r) => j('s', 'k-proj-', r.word(120)), (s) => `llm:\n  provider: openai\n  key: ${s}`],
  ['stripe in ruby', (r) => j('s', 'k_test_', r.word(90)), (s) => `Stripe.api_key = '${s}'`],
  [
    'google in a URL',
    (r) => j('AI', 'za', r.word(35)),
    (s) => `https://maps.googleapis.com/maps/api/geocode/json?address=x&key=${s}`,
  ],
  ['telegram in a URL', (r) => j(r.digits(10), ':AA', r.word(33)), (s) => `https://api.telegram.org/bot${s}/getMe`],
  ['slack in json', (r) => j('xo', 'xb-', r.digits(12), '-', r.word(24)), (s) => ({ slack: { bot: s } })],
  ['vault in a header', (r) => j('hv', 's.', r.word(24)), (s) => `X-Vault-Token: ${s}`],
  ['databricks in toml', (r) => j('da', 'pi', r.hex(32), '-2'), (s) => `token = "${s}"`],
  [
    'hugging face env',
    (r) => j('h', 'f_', r.of('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ', 34)),
    (s) => `HUGGING_FACE_HUB_TOKEN=${s} python run.py`,
  ],
  ['npm in docker', (r) => j('np', 'm_', r.word(36)), (s) => `RUN echo "//registry.npmjs.org/:_authToken=${s}" > ~/.npmrc`],
  [
    'jwt in a cookie',
    (r) => j(r.base64url('{"alg":"RS256"}'), '.', r.base64url(`{"sub":"${r.digits(6)}"}`), '.', r.word(80)),
    (s) => `document.cookie = "jwt=${s}"`,
  ],
  ['azure devops', (r) => j(r.word(76), 'AZ', 'DO', r.word(4)), (s) => `AZURE_DEVOPS_EXT_PAT=${s}`],
  [
    'gcp key file',
    (r) => r.base64(120),
    (s) => ({ type: 'service_account', private_key: `-----BEGIN PRIVATE KEY-----\n${s}\n-----END PRIVATE KEY-----\n` }),
  ],
  ['spring yaml', (r) => `${r.lower(8)}!7`, (s) => `spring:\n  datasource:\n    username: app\n    password: ${s}`],
  ['rails', (r) => r.hex(128), (s) => `SECRET_KEY_BASE=${s}`],
  ['django', (r) => `${r.word(30)}!(${r.word(18)}`, (s) => `SECRET_KEY = '${s}'`],
  ['laravel', (r) => r.base64(32), (s) => `APP_KEY=base64:${s}`],
  ['php', (r) => `${r.lower(6)}${r.digits(3)}`, (s) => `define('DB_PASSWORD', '${s}');`],
  ['go', (r) => r.word(12), (s) => `db, err := sql.Open("mysql", "root:${s}@tcp(127.0.0.1:3306)/shop")`],
  ['node pg', (r) => r.word(12), (s) => `new Pool({ user: 'app', host: 'db', password: '${s}', port: 5432 })`],
  ['terraform', (r) => r.word(16), (s) => `resource "aws_db_instance" "db" {\n  username = "app"\n  password = "${s}"\n}`],
  ['ansible', (r) => r.word(14), (s) => `ansible_become_password: ${s}`],
  ['ansible ssh', (r) => r.word(14), (s) => `web1 ansible_user=root ansible_ssh_pass=${s}`],
  ['helm', (r) => r.word(14), (s) => `helm install x --set auth.postgresPassword=${s}`],
  ['kubectl', (r) => r.word(14), (s) => `kubectl create secret generic db --from-literal=password=${s}`],
  ['compose', (r) => r.word(14), (s) => `environment:\n  - POSTGRES_USER=app\n  - POSTGRES_PASSWORD=${s}`],
  ['github actions', (r) => r.word(20), (s) => `env:\n  DEPLOY_TOKEN: ${s}\nrun: make`],
  ['powershell', (r) => r.word(14), (s) => `$password = "${s}"`],
  ['powershell secure', (r) => r.word(14), (s) => `$env:DB_PASSWORD = '${s}'`],
  ['windows', (r) => r.word(14), (s) => `set DB_PASSWORD=${s}`],
  ['java', (r) => r.word(14), (s) => `private static final String PASSWORD = "${s}";`],
  ['swift', (r) => r.word(24), (s) => `let apiSecret: String = "${s}"`],
  ['rust', (r) => r.word(24), (s) => `const API_TOKEN: &str = "${s}";`],
  ['chat', (r) => `${r.word(5)}@${r.digits(4)}`, (s) => `ok so the wifi password is ${s} and the guest one is off`],
  ['chat answer', (r) => `${r.word(7)}!${r.digits(2)}`, (s) => `Your temporary password: ${s}\nPlease change it.`],
  ['mail', (r) => `${r.lower(5)}${r.digits(4)}`, (s) => `Username: ann\nPassword: ${s}\n\nRegards`],
  ['table', (r) => `${r.lower(5)}${r.digits(4)}!`, (s) => `| user | ann |\n| password | ${s} |`],
  ['csv', (r) => `${r.lower(5)}${r.digits(4)}!`, (s) => ({ rows: [{ user: 'ann', password: s }] })],
  ['tool call', (r) => r.word(12), (s) => ({ tool: 'login', arguments: { username: 'ann', password: s } })],
  ['tool call text', (r) => r.word(12), (s) => `login({"username": "ann", "password": "${s}"})`],
  ['form', (r) => r.word(12), (s) => `grant_type=password&username=ann&password=${s}&scope=x`],
  ['headers text', (r) => r.word(32), (s) => `GET / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: ${s}\r\n`],
  ['proxy header', (r) => Buffer.from(`u:${r.word(10)}`).toString('base64'), (s) => `Proxy-Authorization: Basic ${s}`],
  ['cookie header', (r) => r.word(40), (s) => `> Cookie: connect.sid=s%3A${s}; lang=en`],
  ['graph', (r) => r.word(30), (s) => ({ data: { login: { accessToken: s, refreshToken: 'none' } } })],
  ['nested credentials', (r) => r.word(20), (s) => ({ providers: { aws: { credentials: { prod: { value: s } } } } })],
  ['secrets array', (r) => r.word(20), (s) => ({ secrets: [{ name: 'STRIPE_KEY', value: s }] })],
  ['argv equals', (r) => r.word(14), (s) => ({ args: [`--db-password=${s}`, '--verbose'] })],
  ['mysql dump', (r) => r.word(10), (s) => `mysqldump --single-transaction -ubackup -p${s} shop > a.sql`],
  ['sshpass', (r) => r.word(10), (s) => `sshpass -p '${s}' ssh root@10.0.0.1`],
  ['wget', (r) => r.word(10), (s) => `wget --user=ann --password='${s}' https://h.test/f`],
  ['ftp url', (r) => r.word(10), (s) => `ftp://ann:${s}@files.test/in`],
  ['ldap', (r) => r.word(10), (s) => `ldap.bind.password=${s}`],
  ['snowflake', (r) => r.word(10), (s) => `snowflake://ann:${s}@acc/db`],
  ['sqlalchemy', (r) => r.word(10), (s) => `create_engine("postgresql+psycopg2://app:${s}@db/app")`],
  ['pgpassfile star', (r) => r.word(10), (s) => `localhost:*:*:postgres:${s}`],
  [
    's3 url',
    (r) => r.hex(64),
    (s) => `<Url>https://b.s3.eu-west-1.amazonaws.com/o?X-Amz-Algorithm=AWS4-HMAC-SHA256&amp;X-Amz-Signature=${s}</Url>`,
  ],
  ['polish', (r) => `${r.word(6)}!${r.digits(2)}`, (s) => `hasło: ${s}`],
  ['swedish', (r) => `${r.word(6)}!${r.digits(2)}`, (s) => `Lösenord: ${s}`],
  ['italian', (r) => `${r.word(6)}!${r.digits(2)}`, (s) => `la password è ${s}`],
  ['german said', (r) => `${r.word(6)}!${r.digits(2)}`, (s) => `das Passwort für den Server ist ${s}`],
  ['chinese said', (r) => `${r.word(6)}!${r.digits(2)}`, (s) => `数据库密码为${s}`],
  ['japanese said', (r) => `${r.word(6)}!${r.digits(2)}`, (s) => `パスワードは ${s} です`],
];

export const unseenHarmless: unknown[] = [
  ...`export const passwordSchema = z.string().min(12).max(128)
const [password, setPassword] = useState('')
onChange={(e) => setPassword(e.target.value)}
assert user.check_password("wrong") is False
self.token = token
token=token
password=password
return { token, refreshToken };
throw new Error('Invalid token: expected 3 parts, got 2')
error TS2345: Argument of type 'string' is not assignable to parameter of type 'Token<2>'
FAIL tests/auth/token.test.ts > rotates the refresh token (204 ms)
✓ rejects a password of 7 characters (12 ms)
Tests: 3 failed, 1409 passed, 1412 total
ok 1204 - password is hashed with bcrypt
pass 1204 of 1290
passes: 20480
Passed: 12048 tests in 33.1s
The bearer of this letter
auth_token_ttl: 3600s
token_ids = [15496, 995, 50256]
bos_token: "<s>", eos_token: "</s>"
pad_token_id=50256
special_tokens_map.json
max_new_tokens=2048
tokens/s: 118.2
The prompt has 12345 tokens and the reply 678.
secret_version: 7
secret_arn: arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-AbCdEf
projects/p1/secrets/db/versions/3
vault kv get secret/data/app
op://vault/item/password
key_id: K2JCJMDEHXQW5F
kid: 2024-05-key-1
fingerprint: SHA256:uNiVztksCsDhcc0u9e8BgrJXVGDxS8kYhC0F5Rk3m2A
public_key: MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU
x-amz-request-id: 7R3K1V9QJ2M5T8W0
etag: "33a64df551425fcc55e4d42a148795d9f25f89d4"
trace_id=4bf92f3577b34da6a3ce929d0e0e4736
sentry release: app@2.14.0+1234
docker.io/library/postgres@sha256:4f2b5bd6e8c4a1d2e3f40516273849a5b6c7d8e9fa0b1c2d3e4f5061728394a5
node_modules/.pnpm/@types+node@20.11.5/node_modules
s3://bucket/path/to/password-policy.pdf
https://docs.test/guides/password-reset#tokens
https://h.test/search?q=password&page=2
mailto:ann@h.test
the password field accepts up to 128 characters
We changed the password policy on 2026-03-04.
Alice asked Bob for the password but he forgot it.
"What's the password?" she asked.
the password is stored as a bcrypt hash
the token is issued by auth.test and expires after 15m
The API key is read from the environment.
The secret is mounted at /run/secrets/db_password.
DB_PASSWORD_FILE=/run/secrets/db_password
PGPASSFILE=/root/.pgpass
SSH_AUTH_SOCK=/tmp/ssh-XXXXXX/agent.1234
GPG_TTY=/dev/pts/0
XAUTHORITY=/run/user/1000/gdm/Xauthority
KEYMAP=de-latin1
KEY_COUNT=1200
HOSTKEYALGORITHMS=ssh-ed25519
ssh-keygen -t ed25519 -C ann@h.test
openssl rand -hex 32
gpg --passphrase-fd 0
sudo passwd root
passwd: password updated successfully
chmod 600 ~/.netrc
machine learning models need 12345 tokens
login: ann password: 
user:x:1000:1000:Ann:/home/ann:/bin/bash
select count(*) from tokens where expires_at < now()
alter table users add column password text
create index on tokens (user_id, created_at desc)
GRANT SELECT ON secrets TO reader
commit 4f2b5bd: fix(auth): token refresh race
feat(password): add zxcvbn score 3
Co-authored-by: Ann <ann@h.test>
token: "NEAR"
token: ETH/USDC
secret santa 2025
password manager comparison 2026
keyword: sale2026
passage 12: the hidden key
hotkey: ctrl+shift+p
author: J. Smith 2024
authority: 192.168.1.10
monkeypatch.setenv("API_KEY", "test")
jest.mock('./token.ts')
expect(token).toBeDefined()
expect(res.body.password).toBeUndefined()
Content-Security-Policy: default-src 'self'; script-src 'nonce-r4nd0m'
Strict-Transport-Security: max-age=31536000
Set-Cookie: lang=en-US; Max-Age=31536000; SameSite=Lax`.split('\n'),
  { pass: 12048, total: 12050, passRate: 0.9998 },
  { suite: 'auth', tests: [{ name: 'rejects a bad password', pass: true }] },
  { token: 'comma', value: ',' },
  { usage: { tokens: 4096, cached_tokens: 1024 }, model: 'm-2026-01' },
  { password_policy: { min_length: 12, require: 'digit' }, password_last_changed: '2026-01-02' },
  { secret_name: 'prod/db', secret_version: 'v12', key_version: 3 },
  { secretsManager: { region: 'eu-central-1', name: 'prod/db2' } },
  { columns: ['id', 'email', 'password', 'created_at'] },
  {
    headers: [
      ['Accept', 'text/html'],
      ['Authorization', 'none'],
    ],
  },
  { args: ['--user', 'ann', '--no-password', '--port', '5432'] },
  { scopes: ['read:tokens', 'write:secrets'] },
  { error: { code: 'token_expired', message: 'Token expired at 2026-01-01T00:00:00Z' } },
  { token: { type: 'identifier', value: 'foo_bar2', line: 12 } },
];
