// Whether what stands beside a telling name is a secret, or a placeholder, a piece of code, a word.

const counts = new Uint16Array(128);

/** Bits a character, over the text's own frequencies (Shannon); what is no ASCII counts as some ASCII character. */
export function entropyOf(text: string): number {
  counts.fill(0);
  const end = Math.min(text.length, 0xffff);
  for (let i = 0; i < end; i += 1) counts[text.charCodeAt(i) & 127]! += 1;
  let bits = 0;
  for (const n of counts) if (n > 0) bits -= (n / end) * Math.log2(n / end);
  return bits;
}

/** Every character's class, so that one look says what a value is made of. */
const hasDigit = /\d/;
const hasLetter = /\p{L}/u;
const hasSymbol = /[!@#$%^&*+?~|]/;

// Whole values that stand for another: `********`, `<YOUR_API_KEY>`, `${TOKEN}`, `{{ secret }}`, `%PASS%`, `$DB_PASSWORD`, `[redacted:…]`.
const stands =
  /^(?:[*•.xX_#?-]+|<.*>?|\\?\$+\{.*|\$+\(.*|\{\{.*|\{[\w.]*\}?|%[\w-]+%|%[sdvq]|\$[A-Za-z_]\w*|@[\w.]+\(.*|\[.*\]?|ENC\[.*|…|\.\.\..*|-+)$/s;
const saysSo =
  /example|placeholder|redacted|change-?_?me|your[-_ ]|[-_ ]here\b|x{4}|\*{3}|\.\.\.|dummy|sample|<[\w -]+>|(?<![a-z])todo(?![a-z])|replace[-_ ]|insert[-_ ]|not[-_]?set|1234567890abcdef|0123456789abcdef|abcdefghij/i;
const words = new Set(
  `string str text number boolean bool int any function object array null nil none undefined true false yes no on off empty required optional
   hidden masked missing invalid valid wrong correct incorrect expired unknown default password passwd passwort pass pwd passphrase secret
   secrets token key apikey value user username admin-password test todo void never unset disabled enabled type field input label varchar
   char bytes buffer bearer basic digest env vault prompt changed updated reset stored encrypted plaintext weak strong protected private
   public short long common unique random generated hashed needed set not the and for with that this your from`.split(/\s+/),
);
// A call, a path of members, an element: code that names the value and does not hold it.
const isCode =
  /^(?:(?:await|new|typeof|void)$|[\w$.?!]*\w[\w$.?!]*[([{]|[A-Za-z_$][\w$]*(?:(?:\?\.|\.|->|::)[A-Za-z_$][\w$]*)+[!;,)]*$|process\.env|os\.environ|import\.meta|env\.|ENV\[|System\.getenv|self\.|this\.|&?[\w]+\[)/;
const isPath = /^(?:~|\.{0,2})\/[\w./@-]*$/;
const isReference =
  /^(?:[a-z][\w+.-]*:\/\/|arn:|urn:|did:|mailto:|data:|spiffe:|oid:|spring:|env:|file:|ref:|secret:\/|keyring:|keychain:|projects\/|op:|vault:|secretsmanager|\.{0,2}\/[\w.-]|~\/)/i;
const algorithm =
  /^(?:base\d|sha-?\d|md5|utf-?\d|bcrypt|argon2|aes(?![a-z])|aes\d|jwt$|jws$|jwe$|rsa(?![a-z])|pbkdf2|scrypt|hmac|ed25519|(?:es|hs|rs|ps)(?:256|384|512)$|oauth2|\$2[aby]\$|\$argon2)/i;
const vowel = /[aeiouyäöü]/i;

/** user-service-v2, next_page, eu-west-1, RS256-signed: words and a number or two, not chance. */
function isName(value: string): boolean {
  if (value.length > 100 || /[^\w./:-]/.test(value)) return false;
  const parts = value.split(/[-_./:]/).filter(Boolean);
  const numbered = parts.filter((part) => hasDigit.test(part));
  const digits = numbered
    .join('')
    .replace(/\D/g, '')
    .replace(/^(?:19|20)\d\d$/, '').length;
  if (numbered.length > 2 || numbered.length * 2 > Math.max(parts.length, 2) || digits > 3) return false;
  return parts.every(
    (part) =>
      /^v?\d{1,4}[a-z]?$/.test(part) ||
      algorithm.test(part) ||
      (/^(?:[A-Z]?[a-z]+\d{0,2}|[A-Z]+\d{0,2}|(?:[A-Z]?[a-z]+)(?:[A-Z][a-z]+)+\d{0,2})$/.test(part) &&
        (vowel.test(part) || part.length < 4 || part === part.toUpperCase())),
  );
}
const isVersion = /^v?\d+(?:\.\d+)+[\w.+-]*$|^\d{4}-\d\d-\d\d/;

export const isPlaceholder = (value: string): boolean =>
  stands.test(value) || (saysSo.test(value) && value.length < 200) || words.has(value.toLowerCase()) || new Set(value).size < 3;

/** How much the surroundings say: `quoted` holds a value for sure, `bare` may be code or prose, `said` is prose ("is"). */
export type Setting = 'quoted' | 'bare' | 'said' | 'env';

const isVariable = /^[a-z_$]*(?:MD5)?(?:pass|pwd|secret|token|key)[a-z_]*\d?$/i;
/** A regular expression, the end of a call or of a block, a command whose output is meant. */
const isExpression = /^[)}\]|,;&]|\(\?:|\$\(|\.\*|\|.*\||\([^)]*\)[.;,)]|^\/\^/;

export function isPassword(value: string, setting: Setting): boolean {
  if (value.length < 4 || value.length > 1024 || isPlaceholder(value)) return false;
  if (setting !== 'quoted' && isExpression.test(value)) return false;
  const [digit, letter, symbol] = [hasDigit.test(value), hasLetter.test(value), hasSymbol.test(value)];
  if (/\s/.test(value)) return setting === 'quoted' && isPassphrase(value, digit || symbol);
  if (setting === 'quoted') return !(isReference.test(value) && !symbol) && !isVersion.test(value);
  if (algorithm.test(value)) return false;
  if (setting === 'env') return value.length >= 5 && !isCode.test(value) && !isPath.test(value) && !isReference.test(value);
  if (setting === 'said') {
    if (isVariable.test(value)) return false;
    const inner = hasSymbol.test(value.replace(/[?!]+$/, ''));
    return (
      value.length >= 6 &&
      !isFile.test(value) &&
      !/^[\w.]+=/.test(value) &&
      ((digit && letter) || (inner && (letter || digit)) || isDashed(value))
    );
  }
  if (isCode.test(value) || isVersion.test(value) || /^![A-Za-z/]+$/.test(value)) return false;
  if (isReference.test(value)) return false;
  // newPassword1, token2: a variable
  if (isVariable.test(value)) return false;
  return value.length >= 6 && (digit || (symbol && letter));
}

/** tests/a1.test.ts, config.json:12 */
const isFile = /^[\w@.-]*\/[\w@./-]*$|^[\w./-]+\.[a-z]{1,5}\d?(?::\d+)*$/;
/** correct-horse-battery-staple */
const isDashed = (value: string): boolean => /^[a-z]{3,12}(?:[-_.][a-z]{3,12}){3,}$/i.test(value);

/** "correct horse battery staple", and not "Enter your password". */
function isPassphrase(value: string, mixed: boolean): boolean {
  const parts = value.toLowerCase().split(/\s+/);
  if (value.length > 160 || parts.length > 12 || interface_.test(value) || /[.?!:…,;()=<>{}]$|[=<>{}()]/.test(value))
    return false;
  if (mixed) return parts.length <= 8 && !parts.some((part) => words.has(part) && part.length > 5);
  return (
    parts.length >= 3 &&
    parts.every((part) => /^[\p{L}'-]{1,}$/u.test(part)) &&
    parts.filter((part) => part.length > 2).length >= 3
  );
}
/** What forms, errors and descriptions say of a password. */
const interface_ =
  /\b(?:enter|password|passphrase|passcode|pass|must|least|required?|requires|invalid|incorrect|please|confirm|forgot(?:ten)?|reset|change|your|characters?|should|cannot|minimum|maximum|choose|wrong|expired?|policy|hint|optional|provide|missing|match(?:es)?|field|value|string|token|secret|credential|key|account|user|login|log in|sign|email|is|are|was|were|be|been|has|have|will|if|or|for|from|when|not|none|no|unknown|default|see|stored|hidden|masked|generated|managed|below|above|set|used?|given|test|length|type|show|hide|new|old|current)\b|passwor|mot de passe|contrase|senha|пароль|密码|パスワード/iu;

/** A token, an API key: as long and as mixed as chance makes them. */
export function isToken(given: string, setting: Setting): boolean {
  const value = given.replace(/^(?:base64|hex):/, '');
  const least = setting === 'quoted' || setting === 'env' ? 8 : 12;
  if (value.length < least || value.length > 4096 || /\s/.test(value) || isPlaceholder(value)) return false;
  if (isPath.test(value) && value.split('/').length > 2 && !/[+=]/.test(value) && value.length < 40) return false;
  if (isReference.test(value) && !/^(?:\/?[A-Za-z0-9+/]{40}|[A-Za-z0-9+/]{40,}={1,2})$/.test(value)) return false;
  if (isName(value) || isVersion.test(value) || algorithm.test(value)) return false;
  if (setting !== 'quoted' && (isCode.test(value) || /[()[\]|{}]/.test(value))) return false;
  // JWT/RS256-signed
  if (value.split(/[/_:-]/).some((part) => algorithm.test(part)) && value.length < 40) return false;
  const mixed = hasDigit.test(value) && hasLetter.test(value);
  if (!mixed && !(value.length >= 8 && hasSymbol.test(value) && hasLetter.test(value))) return false;
  return entropyOf(value) >= (value.length < 16 ? 2.5 : 2.8);
}

/** Of tokens known by their form: those of documentation are all one letter, or say so. */
export const isReal = (value: string): boolean =>
  entropyOf(value.slice(0, 64)) >= 2.5 && !/example|placeholder|your[-_]|x{5}|\*{3}|0{8}|1234567890|abcdefghij/i.test(value);

/** A user and a password in base64 (RFC 7617). */
export const isLogin = (value: string): boolean =>
  /^[A-Za-z0-9+/_-]{8,500}={0,2}$/.test(value) &&
  /^[\x20-\x39\x3b-\x7e]{1,100}:[\x20-\x7e]{3,}$/.test(Buffer.from(value, 'base64').toString('latin1'));
