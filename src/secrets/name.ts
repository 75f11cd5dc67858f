// What a name says of its value: `db_password`, `OPENAI_API_KEY`, `clientSecret`; but not `max_tokens`, `password_policy`, `primary_key`.

export interface Named {
  kind: string;
  /** A password may be any word; a token must look like chance. */
  form: 'password' | 'token';
}

// Words whose presence makes it a password; the last word of a name makes it a token.
const passwords =
  /^(?:pass|password|passwd|passphrase|passcode|pwd|passwort|kennwort|contraseña|contrasena|senha|motdepasse|пароль|密码|密碼|パスワード|비밀번호)s?$/;
const tokens =
  /^(?:secret|token|credential|apikey|authtoken|accesstoken|refreshtoken|bearer|secretkey|accesskey|privatekey|clientsecret|authkey|secretaccesskey|accountkey|sharedaccesskey|authorization)s?$/;
const keyed =
  /^(?:api|secret|access|private|encryption|signing|master|account|auth|shared|service|webhook|license|admin|deploy|app|application|storage|crypto|hmac|jwt|session)$/;
// What is about a secret and does not hold one.
const about =
  /^(?:ids?|names?|types?|hash(?:es|ed)?|counts?|length|len|limit|size|urls?|uris?|path|file|filename|field|label|hint|policy|reset|expir(?:y|es|ed|ation)|at|in|ttl|age|min|max|rotation|version|prefix|index|usage|used|budget|regex|pattern|strength|manager|required|enabled|placeholder|ref|refs|arn|title|description|error|message|status|mode|provider|algorithm|format|encoding|sha\d*|md5|fingerprint|checksum|digest)$/;
const passing =
  /^(?:page|next|cursor|continuation|sync|csrf|xsrf|cancel|public|primary|foreign|idempotency|cache|sort|partition|max|min|num|total|used|count|stop|eos|bos|pad|unk|mask|special|no|has|is|show|forgot|hash|hashed)$/;
const trailing =
  /^(?:prod|production|dev|development|test|staging|live|old|new|current|value|text|plain|plaintext|string|base64|b64|v?\d+|env|main|primary|secondary|default)$/;

const known = new Map<string, Named | undefined>();
const MAX_KNOWN = 5_000;

/** Undefined where the name promises no secret. */
export function readName(name: string): Named | undefined {
  if (name.length > 100) return undefined;
  if (known.has(name)) return known.get(name);
  const named = classify(name);
  // names of clients: as many as they like
  if (known.size >= MAX_KNOWN) known.clear();
  known.set(name, named);
  return named;
}

function classify(name: string): Named | undefined {
  const words = name
    .replace(/([\p{Ll}\d])(?=\p{Lu})/gu, '$1 ')
    .toLowerCase()
    .split(/[^\p{L}\p{M}\d]+/u)
    .filter(Boolean);
  while (words.length > 1 && trailing.test(words.at(-1)!)) words.pop();
  const last = words.at(-1);
  if (last === undefined || about.test(last) || words.slice(0, -1).some((word) => passing.test(word))) return undefined;
  if (words.some((word) => passwords.test(word))) return { kind: 'password', form: 'password' };
  const all = words.join('');
  if (/secretaccesskey$/.test(all) || /^aws.*secret(?:key)?$/.test(all)) return { kind: 'aws-secret-key', form: 'token' };
  if (/(?:account|sharedaccess|storage)key$/.test(all)) return { kind: 'azure-key', form: 'token' };
  if (last === 'key' && words.length > 1 && keyed.test(words.at(-2)!)) return { kind: 'api-key', form: 'token' };
  if (/apikeys?$/.test(all)) return { kind: 'api-key', form: 'token' };
  if (!tokens.test(last)) return undefined;
  if (/secret/.test(last)) return { kind: 'secret', form: 'token' };
  return { kind: /key/.test(last) ? 'api-key' : 'token', form: 'token' };
}
