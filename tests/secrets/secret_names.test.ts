import { classifyName, isCompanionField, isContainer } from '../../src/secrets/secret_names.ts';

const kindOf = (name: string) => classifyName(name)?.kind;

test.each<[string, string | undefined]>([
  ['password', 'password'],
  ['dbPassword', 'password'],
  ['PGPASSWORD', 'password'],
  ['dbpasswd', 'password'],
  ['sshpass', 'password'],
  ['ROOTPW', 'password'],
  ['DB_PASS', 'password'],
  ['pass', 'password'],
  ['pass_count', undefined],
  ['pass_through_port', undefined],
  ['pwd', 'password'],
  ['oldpwd', undefined],
  ['OLD_PWD', 'password'],
  ['recovery_phrase', 'password'],
  ['mnemonic', 'password'],
  ['contraseña', 'password'],
  ['password_attempts', undefined],
  ['password_policy', undefined],
  ['forgot_password', undefined],
  ['primary_key', undefined],
  ['max_tokens', undefined],
  ['token_count', undefined],
  ['next_page_token', undefined],
  // suffixes after a name are ignored
  ['password_prod', 'password'],
  ['token_v2', 'token'],
  ['prod', undefined],
  ['auth', 'basic-auth'],
  ['cookie', 'cookie'],
  ['Set-Cookie', 'cookie'],
  ['cookies', 'cookie'],
  ['client-key-data', 'private-key'],
  ['AWS_SECRET_ACCESS_KEY', 'aws-secret-key'],
  ['aws_main_secret', 'aws-secret-key'],
  ['storageAccountKey', 'azure-key'],
  ['api_key', 'api-key'],
  ['OPENAI_API_KEY', 'api-key'],
  ['signingkeys', 'api-key'],
  ['FERNET_KEY', 'api-key'],
  ['key', undefined],
  ['sort_key', undefined],
  ['design_key', undefined],
  ['token', 'token'],
  ['accesstoken', 'token'],
  ['myaccesstoken', 'token'],
  ['clientSecret', 'secret'],
  ['secretkey', 'api-key'],
  ['myappsecret', 'secret'],
  ['message', undefined],
  ['', undefined],
])('%j announces %j', (name, kind) => {
  expect(kindOf(name)).toBe(kind);
  // again, from the cache
  expect(kindOf(name)).toBe(kind);
});

test('a name determines the form of its value', () => {
  expect(classifyName('pass')).toEqual({ kind: 'password', form: 'password', weak: true });
  expect(classifyName('db_pass')).toEqual({ kind: 'password', form: 'password', weak: true });
  expect(classifyName('password')).toEqual({ kind: 'password', form: 'password' });
  expect(classifyName('auth')).toEqual({ kind: 'basic-auth', form: 'login' });
  for (const name of ['cookie', 'client-key-data', 'aws_secret_access_key', 'account_key', 'api_key', 'signingkey', 'token'])
    expect([name, classifyName(name)!.form]).toEqual([name, 'token']);
});

test('a name of more than 100 characters announces nothing', () => {
  expect(kindOf('password'.padStart(100, 'x_'))).toBe('password');
  expect(kindOf('password'.padStart(101, 'x_'))).toBeUndefined();
});

test('names are classified the same however many were classified before', () => {
  for (let i = 0; i < 5_001; i += 1) classifyName(`name ${i}`);
  expect([kindOf('password'), kindOf('name 1')]).toEqual(['password', undefined]);
});

test.each([
  ['passwords', true],
  ['credentials', true],
  ['dbCredentials', true],
  ['secrets', true],
  ['tokens', true],
  ['api_keys', true],
  ['maxtokens', false],
  ['password', false],
  ['secrets_manager', false],
])('%s is a container of secrets: %s', (name, is) => {
  expect(isContainer(name)).toBe(is);
});

test('users, hosts and descriptions are companions of a secret', () => {
  expect(['username', 'HOST', 'expires_at', 'token_count', 'retries'].map(isCompanionField)).toEqual([
    true,
    true,
    true,
    true,
    true,
  ]);
  expect(['alice', 'primary', 'password', ''].map(isCompanionField)).toEqual([false, false, false, false]);
});
