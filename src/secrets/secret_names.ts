// Decides whether a name announces a secret: `db_password`, `OPENAI_API_KEY`, `clientSecret`; but not `max_tokens`, `password_policy`, `primary_key`.

export interface SecretName {
  kind: string;
  /** A password may be any word; a token must look random; a login is user and password in Base64. */
  form: 'password' | 'token' | 'login' | 'pin';
  /** True for `pass`, which is as often a count of tests as a password. */
  weak?: true;
  /** True for names that are also used for other things: only a value that looks like a secret by itself is one. */
  strict?: true;
  /** True for a map of secrets with arbitrary names. */
  container?: true;
}

// A name with one of these words is a password. A token is recognized by the last word of its name.
const passwordWords =
  /^(?:pass|password|passwd|passphrase|passcode|pwd|pw|pswd|psk|passkey|presharedkey|requirepass|masterauth|passwort|kennwort|contraseña|contrasena|senha|motdepasse|passe|mdp|wachtwoord|hasło|heslo|lösenord|adgangskode|salasana|parola|parol|пароль|пароля|şifre(?:m|niz|si)?|jelszó|jelszo|密码|密碼|口令|パスワード|비밀번호)s?$/;
/** Compound names: `PGPASSWORD`, `dbpasswd`, `sshpass`, `ROOTPW`. */
const passwordSuffix = /(?:password|passwd|passphrase|passwort|kennwort|wachtwoord)s?$/;
const compoundPassNames =
  /^(?:ssh|db|pg|my|mysql|sql|mssql|root|user|admin|smtp|mail|imap|ftp|redis|mongo|ldap|http|proxy|wifi|keystore|truststore|rabbitmq|amqp|sudo|rpc|vnc|rdp|git|docker|registry|app|login|service|svc|bind|zip|vault|postgres|oracle|ora|sa|dba|require|(?:src|dest)?store|key|trust|cert|pfx|p12|master|host|device|enable|cluster|replication|backup|restic|borg|gpg|become|test|prod|dev|new|old|my|wp|jenkins|nexus|sonar|grafana|elastic|kibana|kafka|cassandra|influx|minio|web|api|jdbc|tomcat|vpn|ssl|tls|ca|sys|system|super|superuser)(?:pass|pwd|pw)$/;
const phraseNames = /(?:seed|recovery|mnemonic|backup|wallet)(?:phrase|words)$|^mnemonic$/;
const tokenWords =
  /^(?:secret|token|credential|apikey|authtoken|accesstoken|refreshtoken|bearer|secretkey|accesskey|privatekey|clientsecret|authkey|secretaccesskey|accountkey|sharedaccesskey|authorization|identitytoken|registrytoken|sessiontoken|jwt|pat)s?$/;
const keyQualifiers =
  /^(?:api|secret|access|private|encryption|signing|master|account|auth|shared|service|webhook|license|admin|deploy|app|application|storage|crypto|hmac|jwt|session|subscription|functions|host|project|bot|instrumentation|sas|preshared|psk|unseal|recovery|root|deploy|client|user|ssh|ssl|tls|pgp|gpg|age|wallet|sync|restricted|publishing|signer|consumer|openai|stripe|anthropic|github|aws|gcp|azure|sendgrid|mailgun|twilio|rsa|aes|des|fernet)$/;
// Words that describe a secret: a name that ends with one of them has no secret as its value.
const metadataWords =
  /^(?:ids?|names?|types?|hash(?:es|ed)?|counts?|length|len|limit|size|urls?|uris?|path|file|filename|field|label|hint|policy|reset|expir(?:y|es|ed|ation)|at|in|ttl|age|min|max|rotation|version|prefix|index|usage|used|budget|regex|pattern|strength|manager|required|enabled|placeholder|ref|refs|arn|title|description|error|message|status|mode|provider|algorithm|format|encoding|sha\d*|md5|fingerprint|checksum|digest|attempts?|retr(?:y|ies)|tries|fail(?:s|ed|ures?)|last|changed?|updated|created|date|time|timestamps?|timeout|validat(?:ion|or|ed)|checks?|checker|rules?|requirements?|complexity|history|protect(?:ed|ion)|less|free|based|form|page|box|screen|dialog|prompt|input|icon|button|links?|events?|handler|service|store|generator|hasher|encoder|decoder|score|entropy|bits|cost|rounds|iterations?|kdf|alg|family|kind|scopes?|audience|issuer|endpoint|region|currency|symbol|price|supply|standard|contract|holders?|rate|ratio|window|cap|quota|total|sum|avg|mean|ms|seconds|minutes|hours|days|bytes|chars|characters|words|class|model|lists?|groups?|owner|email|user|username|support|supported|exists?|set|ok|success|left|remaining|percent|line|column|position|offset|start|end|stream|parser|counter|counting|usages|feature|flow|grant|vault|path|dir|directory|folder|secretref|store|backend|management|rotated|state|step|source|target|tests?|match|matches|checked|tested|scanned|found|seen|hashed|cracked|leaked|exposed|missing|managed)$/;
const harmlessQualifiers =
  /^(?:page|next|cursor|continuation|sync|csrf|xsrf|cancel|public|primary|foreign|idempotency|cache|sort|partition|max|min|num|total|used|count|stop|eos|bos|pad|unk|mask|special|no|has|is|show|forgot|hash|hashed|per|output|input|prompt|completion|reasoning|cached|context|remaining|design|syntax|lexer|subject|actor|requested|needs?|requires?|validate|check|verify|get|fetch|load|generate)$/;
/** Qualifiers of keys that locate something. */
const locatorQualifiers =
  /^(?:dedupe|dedup|lookup|object|s3|row|node|query|group|content|message|routing|registry|map|index|composite|unique|natural|surrogate|search|i18n|translation|item|record|entity|hot|shortcut|arrow|press|alt|ctrl|control|meta|shift|cmd|command|option|modifier|locale|redis|react|dict|json|config|field|a|this|that|any|each|every|same|which|first|second|one|another|its|their|left|right|file|path|url|id|name|value|data|user|tenant|event|task|job|order)$/;
/** Compound names such as `authtoken`. */
const tokenSuffix =
  /(?:authtoken|accesstoken|apitoken|bottoken|usertoken|zugangstoken|zugriffstoken|refreshtoken|clientsecret|appsecret|apisecret)$/;
const ignoredSuffixes =
  /^(?:prod|production|dev|development|test|staging|live|old|new|current|value|text|plain|plaintext|string|base64|b64|v?\d+|env|main|primary|secondary|default|base|live|next|previous)$/;

const cache = new Map<string, SecretName | undefined>();
const MAX_CACHED = 5_000;

/** Returns undefined if the name does not announce a secret. */
export function classifyName(name: string): SecretName | undefined {
  if (name.length > 100) return undefined;
  if (cache.has(name)) return cache.get(name);
  const named = classifyUncached(name);
  // clients choose the names, so the cache must be bounded
  if (cache.size >= MAX_CACHED) cache.clear();
  cache.set(name, named);
  return named;
}

function isPasswordName(words: string[], all: string): boolean {
  // PWD and OLDPWD are the working directories of a shell
  if (/^(?:old)?pwd$/.test(all) && words.length === 1) return all === 'pwd';
  if (words.some((word) => passwordWords.test(word) && (word !== 'pass' || words.length === 1 || word === words.at(-1))))
    return true;
  return words.some((word) => passwordSuffix.test(word) || compoundPassNames.test(word)) || phraseNames.test(all);
}

/** Returns true if a map with this name contains secrets under arbitrary names: `passwords`, `credentials`, `secrets`, `tokens`. */
export const isContainer = (name: string): boolean =>
  /(?:^|[^a-z])(?:passwords|cookies|credentials?|creds|secrets?|tokens|api_?keys|passphrases)$/i.test(
    name.replace(/([\p{Ll}\d])(?=\p{Lu})/gu, '$1_'),
  );

/** Members of such a map that describe a secret and are not secret themselves. */
const companionFields =
  /^(?:user(?:_?name)?|login|e?mail|host(?:_?name)?|port|url|uri|id|name|type|kind|notes?|description|owner|provider|region|database|db_?name|schema|scopes?|expires?(?:_?(?:at|in))?|created(?:_?at)?|updated(?:_?at)?|enabled|version|path|prefix|format|algorithm|policy|status|role|account_?id|client_?id)$/i;
export const isCompanionField = (name: string): boolean =>
  companionFields.test(name) || metadataWords.test(wordsOf(name).at(-1) ?? '');

/** Returns true if a cookie with this name is a credential. */
export const isSessionCookie = (name: string): boolean =>
  /sess|sid|auth|token|jwt|remember|csrf|xsrf|login|secret|ticket|\bid$/i.test(name);

/** Returns true if a word after the name of a secret makes it a description, as in "password hash". */
export const isMetadataWord = (word: string): boolean => metadataWords.test(word.toLowerCase());

const wordsOf = (name: string): string[] =>
  name
    .replace(/([\p{Ll}\d])(?=\p{Lu})/gu, '$1 ')
    .toLowerCase()
    .split(/[^\p{L}\p{M}\d]+/u)
    .filter(Boolean);

const wholeNames: [name: RegExp, SecretName][] = [
  [/^(?:pin|pincode|cvv2?|cvc2?|otp|passcode)$/, { kind: 'pin', form: 'pin' }],
  [/^auth$/, { kind: 'basic-auth', form: 'login' }],
  [/^(?:set)?cookies?$/, { kind: 'cookie', form: 'token' }],
  [/^clientkeydata$/, { kind: 'private-key', form: 'token' }],
  [/secretaccesskey$|^aws.*secret(?:key)?$/, { kind: 'aws-secret-key', form: 'token' }],
  [/(?:account|sharedaccess|storage)key$/, { kind: 'azure-key', form: 'token' }],
  [/(?:apikey|accesskey|secretkey|privatekey|signingkey|encryptionkey|masterkey)s?$/, { kind: 'api-key', form: 'token' }],
];

/** Classifies a name that ends with "key": `OPENAI_KEY` is a secret, "our Mistral key" is one if its value looks like one, `cache_key` is none. */
function classifyKey(before: string): SecretName | undefined {
  if (keyQualifiers.test(before)) return { kind: 'api-key', form: 'token' };
  return locatorQualifiers.test(before) ? undefined : { kind: 'api-key', form: 'token', strict: true };
}

function classifyUncached(name: string): SecretName | undefined {
  const words = wordsOf(name);
  while (words.length > 1 && ignoredSuffixes.test(words.at(-1)!)) words.pop();
  const last = words.at(-1);
  if (
    last === undefined ||
    metadataWords.test(last) ||
    words.slice(0, -1).some((word) => harmlessQualifiers.test(word) && !(word === 'next' && last === 'key'))
  )
    return undefined;
  const all = words.join('');
  if (isPasswordName(words, all)) return { kind: 'password', form: 'password', ...(last === 'pass' && { weak: true as const }) };
  if (/^[A-Z][A-Z\d]*_AUTH$/.test(name)) return { kind: 'password', form: 'password', strict: true };
  const whole = wholeNames.find(([pattern]) => pattern.test(all));
  if (whole) return whole[1];
  if (last === 'key' && words.length > 1) return classifyKey(words.at(-2)!);
  if (!tokenWords.test(last) && !tokenSuffix.test(last)) return undefined;
  return { kind: /secret/.test(last) ? 'secret' : /key/.test(last) ? 'api-key' : 'token', form: 'token' };
}
