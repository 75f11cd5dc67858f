// Code, prose, logs and settings that mention secrets and contain none.

export const literal: unknown[] = [
  ...`const { status } = await register({ tenant_id, password }); expect(status).toBe(422);
OpenBraceToken = 1,\n  CloseBraceToken = 2,\n  OpenBracketToken = 3
| 'authenticationMD5Password' | 'authenticationCleartextPassword'
"pgpass": "1.0.5", "pbkdf2-password": "1.2.1"
check if a given value could be pass to 'shrink'
bcrypt.hash('password', 'some$value')
if (typeof this.password === 'function') return;
const scheme = /^(?:bearer|basic|token|apikey)\\s/i.exec(text)
node app.js | send -u http://localhost:8080/logs
if (password === input) return true;
password: string
password: string | undefined;
getPassword()
const token = getToken();
const password = getPassword(user);
token = await getToken()
let secret = await vault.read(path)
password: z.string().min(8)
apiKey: process.env.API_KEY
const key = process.env.API_KEY!;
api_key = os.environ["API_KEY"]
secret: config.secret
const { password, token } = req.body;
if (password.length < 12) throw new Error("too short")
max_tokens: 4096
"max_tokens": 4096, "token_type": "bearer"
The token budget is 2000 tokens.
tokenizer: o200k_base
password: \${DB_PASSWORD}
password: {{ vault_password }}
password = "<password>"
Enter your password:
The password is wrong.
your password is required
The secret is out.
The secret to success is hard work.
the secret to success: persistence
passport number format: two letters and seven digits
password must be at least 8 characters
Authorization: Bearer <token>
Authorization: Bearer $TOKEN
Authorization: Bearer \${token}
export API_KEY=your-api-key-here
postgres://user:password@localhost:5432/db
the key is under the mat
sort keys by name
const publicKey = "id_rsa.pub"
return bcrypt.compare(password, hash)
secretName: db-credentials
secretKeyRef: { name: db, key: password }
password_hash text not null
create table secrets (id text primary key, secret bytea)
password === confirmPassword
this.password = password
token: this.tokens.access
The passenger passed the compass.
AKIAIOSFODNN7EXAMPLE
sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
def test_password_reset_token_expires(): assert 1
async function refreshAccessToken(refreshToken: string) {}
-----BEGIN PRIVATE KEY----- is the first line of a PEM file
JWT_SECRET: optional(z.string())
docker run -u 1000:1000 alpine
auth.identify(req)
password reset link sent
We should rotate the secret every 90 days.
The token expires in 3600 seconds.
secret sauce
token ring network
a token of appreciation
She passed the test with 98 points.
pass rate: 99.95%
pass rate was 98.5 percent
all 1,412 tests pass
pass@10 = 0.8421
--pass-with-no-tests
bypass: 12345678
compass=270
key: value
keyboard: de_DE
monkey: 3
"password": null
"password": ""
"secret": true
token_endpoint: https://auth.test/oauth/token
token_endpoint_auth_method: client_secret_basic
grant_type=password
grant_type: client_credentials
response_type=token
scope: token:read secrets:write
permission: secrets.read
type Password = string & { __brand: "Password" }
class PasswordService extends BaseService2 {}
import { hashPassword } from './password.ts'
function verifyToken(token: string): Promise<Claims>
validatePassword(password1, password2)
password.trim().toLowerCase()
passwordInput.value = ''
<input type="password" name="password" autocomplete="current-password">
<label for="password">Password</label>
{"label":"Password","placeholder":"Enter your password"}
password: process.env.DB_PASSWORD ?? ''
password = System.getenv("DB_PASSWORD")
password: !vault |
password: ENC[AES256_GCM,data]
password: "{{ lookup('env', 'PASS') }}"
password=%s
password = ?
where password = $1
WHERE token = :token
select password from users
UPDATE users SET password = crypt($2, gen_salt('bf'))
token, err := parser.Next()
token := lexer.peek()
let token = tokens.next();
while (token.type !== 'eof')
Token(type=IDENT, value=foo2)
tokens = text.split(' ')
num_tokens=128000
tokens_per_second: 42.5
token price: 0.0042
The token standard is ERC-20.
token: ERC-721
secret: false
auth: none
auth: oauth2
auth_method: password
authorization: required
credential: missing
credentials: same-origin
credentials: 'include'
Access-Control-Allow-Credentials: true
key=abc
api key missing
API key is invalid
invalid api key provided
no password set
password unchanged
password (optional)
password: required
password: [hidden]
password: (hidden)
password: ***
password: •••••••
password: not set
password: same as before
passwords do not match
Passwords must contain a digit.
The password policy requires 12 characters.
Passwort vergessen?
Bitte Passwort eingeben
Mot de passe oublié ?
Contraseña incorrecta
Senha inválida
Пароль обязателен
密码错误
请输入密码
パスワードを忘れた場合
パスワードが違います
비밀번호를 입력하세요
two-factor token required
csrf token mismatch
refresh token rotation is enabled
access token lifetime: 15m
session_token_ttl=3600
TOKEN_TTL_SECONDS=86400
SECRET_ROTATION_DAYS=90
PASSWORD_MIN_LENGTH=12
PASSWORD_RESET_URL=https://app.test/reset
API_KEY_HEADER=X-Api-Key
AUTH_TOKEN_NAME=session2
KEY_PREFIX=prod2024
sk_test mode
gh_user: ann
hf_hub_download(repo_id)
npm_config_registry=https://registry.test
npm_lifecycle_event=test
github_pat is the prefix
xoxb tokens start so
glpat- is the prefix of GitLab's
AIza is how Google's keys begin
eyJ is how a JWT begins
the header is {"alg":"HS256","typ":"JWT"}
SG.region.zone
pat-na1 is a prefix
re_render_component_twice_now
co_author_list_of_everyone
sl.exe and st.exe are small
fc-list shows fonts
pa-kua is a martial art
sdk-android-release-candidate-build
api-gateway-deployment-config-v2
key-value-store-implementation-notes
mdb_export_tables_to_csv_files
st.dataframe.column.config
sk-learn-pipeline-with-a-very-long-name-for-a-branch
AC power and SK telecom
machine learning login page password field
mysql -u root -p shop
mysql --port 3306
curl -u ann https://h.test
ssh -p 2222 host
docker login -u ann
psql "host=db dbname=app"
Set-Cookie: theme=dark; Path=/
cookie: accepted
signature: valid
sig=ok
https://h.test/?token=
https://h.test/?key=name&value=1
https://h.test/docs?auth=basic#token
jdbc:postgresql://db:5432/app
Server=h;Database=d;Integrated Security=true;
redis://cache:6379/0
amqp://rabbit:5672
mongodb://localhost:27017/test
https://user@h.test/x
git@github.com:org/repo.git
smtp.host=mail.test smtp.port=587
db.test:5432
*:*:*
{"kty":"RSA","e":"AQAB","use":"sig"}
seed: 42
random seed phrase generator
mnemonic: MOV
recovery key not found
backup words missing`.split('\n'),
  { passed: 1412, failed: 0, password: null, token: 12345678 },
  { type: 'object', properties: { password: { type: 'string', minLength: 12, format: 'password' } } },
  { error: 'invalid_token', error_description: 'The access token expired' },
  { name: 'password', value: 'required' },
  { name: 'token', type: 'string', description: 'the access token of the caller' },
  { argv: ['--password', '--token'], env: ['PATH=/usr/bin', 'HOME=/root'] },
  { credentials: { username: 'ann', host: 'db.test', port: 5432 } },
  { tokens: ['if', '(', 'password', '===', 'input', ')'] },
  { secret: { name: 'db-credentials', key: 'password' } },
  { auth: { type: 'oauth2', flow: 'client_credentials' } },
  { kind: 'ConfigMap', data: { 'log.level': 'debug', region: 'eu-west-1' } },
  { key: 'theme', value: 'dark2024' },
  { token: { address: 'mainnet', symbol: 'USDC', decimals: 6 } },
  { i18n: { password: 'Passwort', enter_password: 'Bitte geben Sie Ihr Passwort ein', forgot_password: 'Passwort vergessen?' } },
  { password: 'Enter the password of the account', token: 'Paste the token here' },
];
