import { findSecrets } from '../../src/secrets/detect.ts';

// Secrets in the formats in which programs store them, with and without optional spaces, and values in these formats that are not secret.

const SECRET = 'q7Zk3mP9xTvB2nL8';
const secretsIn = (text: string) =>
  findSecrets(text, { personal_data: false, contacts: false }).map(({ from, to, kind }) => [kind, text.slice(from, to)]);

test.each<[string, string]>([
  ['signature', `https://x.example/f?sig=${SECRET}`],
  ['signature', `https://x.example/f?a=1&amp;X-Amz-Signature=${SECRET}`],
  ['token', `https://x.example/f#access_token=${SECRET}`],
  ['token', `https://x.example/f?ticket=${SECRET}`],
  ['cookie', `Cookie:sid=${SECRET}`],
  ['cookie', `set-cookie   :   "sid=${SECRET}"`],
  ['cookie', `{"cookie":"sid=${SECRET}"}`],
  ['cookie', `Cookie: a=1; b=2; sid=${SECRET}; c=3`],
  ['cookie', `Cookie: a=1;sid=${SECRET}`],
  ['password', `machine x login y password ${SECRET}`],
  ['password', `default login y password ${SECRET}`],
  ['password', `machine x\n  login y\n  password ${SECRET}`],
  ['password', `db.example:5432:app:ann:${SECRET}`],
  ['password', `*:6432:app:ann:${SECRET}`],
  ['password', `db.example:5433:app:ann:${SECRET}`],
  ['password', `db.example:*:*:ann:${SECRET}`],
  ['password', `mysql -u root -p${SECRET} app`],
  ['password', `mariadb-dump --all -p${SECRET}`],
  ['password', `mysql -p${SECRET}`],
  ['password', `docker login -u ann -p ${SECRET}`],
  ['password', `redis-cli -a "${SECRET}"`],
  ['password', `ldapsearch -x -w ${SECRET}`],
  ['password', `unzip -P ${SECRET} a.zip`],
  ['password', `htpasswd -b file ann ${SECRET}`],
  ['password', `htpasswd -cbB file ann '${SECRET}'`],
  ['password', `ann:${SECRET}@tcp(db:3306)/app`],
  ['password', `7z a -p${SECRET} a.7z`],
  ['password', `7za x -p${SECRET}`],
  ['password', `openssl rsa -passin pass:${SECRET}`],
  ['password', `jdbc:oracle:thin:ann/${SECRET}@db`],
  ['url-password', `https://${SECRET}:x@x.example`],
  ['url-password', `https://${SECRET}:@x.example`],
  ['url-password', `https://${SECRET}@x.example`],
  ['secret', `name: DB_PASSWORD\nvalue: ${SECRET}`],
  ['secret', `"name":"DB_PASSWORD","value":"${SECRET}"`],
  ['secret', `key = "api_key", value = "${SECRET}"`],
  ['password', `create user ann identified by '${SECRET}'`],
  ['password', `IDENTIFIED WITH caching_sha2_password BY "${SECRET}"`],
  ['jwk', `{"kty":"RSA","d":"${SECRET}"}`],
  ['jwk', `{"kty": "oct", "k" : "${SECRET}"}`],
])('%s: %s', (kind, text) => {
  expect(secretsIn(text)).toEqual([[kind, SECRET]]);
});

test.each([
  ['too short for a signature', 'https://x.example/f?sig=q7Zk3mP9xTvB2nL'],
  ['a signature without a digit', 'https://x.example/f?sig=qwertyuiopasdfgh'],
  ['a signature of few letters', 'https://x.example/f?sig=ababababab1ababab'],
  ['a placeholder', 'https://x.example/f?token=your_token_goes_here1'],
  ['a cookie of no session', 'Cookie: theme=dark-mode; lang=english'],
  ['a word that ends in cookie', `mycookie: sid=${SECRET}`],
  ['another port', 'db.example:5434:app:ann:wordword'],
  ['a netrc without a password', 'machine x login y account z'],
  ['a command of another name', `mysqlx; echo -p${SECRET}`],
  ['a variable', 'mysql -u root -p$MYSQL_PWD app'],
  ['an option of four letters', 'docker login -p abc'],
  ['a placeholder for a data source', 'ann:********@tcp(db:3306)/app'],
  ['a named value that is no secret', 'name: DB_HOST\nvalue: q7Zk3mP9xTvB'],
  ['a key of few letters', '{"kty":"RSA","n":"q7Zk3mP9xTvB2nL8"}'],
])('%s is unchanged', (_, text) => {
  expect(secretsIn(text)).toEqual([]);
});

test('key files are redacted from the first line of their secret part', () => {
  const lines = ['q7Zk3mP9xTvB2nL8wR4yH6jD1gS5fC0a', 'q7Zk3mP9xTvB2nL8wR4yH6jD1gS5fC0b'];
  expect(secretsIn(`Private-Lines: 2\n${lines.join('\n')}\nPrivate-MAC: x`)[0]).toEqual([
    'private-key',
    expect.stringContaining(lines.join('\n')),
  ]);
  expect(secretsIn(`Private-Lines: 1\n${'q7Zk3mP9'.repeat(5)}`)).toEqual([['private-key', 'q7Zk3mP9'.repeat(5)]]);
  expect(secretsIn(`Private-Lines: 1\n${'q7Zk3mP9'.repeat(5).slice(1)}`)).toEqual([]);
  for (const begin of ['---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----', '-----BEGIN OpenVPN Static key V1-----']) {
    const [[kind, value]] = secretsIn(`${begin}\n${lines.join('\n')}`) as [[string, string]];
    expect([kind, value]).toEqual([expect.stringMatching('key'), expect.stringContaining(lines.join('\n'))]);
  }
});

test.each([
  ['token', 'Authorization: SSWS ', '00QvX3-lBvVaqRF2wXp6nEkT9_sYdC1uMzHoG7rJ4i', ''],
  ['secret', 'otpauth://totp/Mail:ann@x.test?issuer=Mail&secret=', 'FSUMJWFNMOTONQSAFFMDPNVOHIHHMZLB', '&digits=6'],
  ['secret', 'otpauth%3A%2F%2Ftotp%2FMail%3Fsecret%3D', 'FSUMJWFNMOTONQSAFFMDPNVOHIHHMZLB', ''],
  ['secret', 'echo "::add-mask::', 'qjxx17!MPJgm', '"'],
])('%s: %s%s', (kind, before, secret, after) => {
  expect(secretsIn(before + secret + after)).toEqual([[kind, secret]]);
});
