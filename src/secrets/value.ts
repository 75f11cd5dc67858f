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
  /^(?:[*•.xX_#?-]+|<.*>?|\$\{.*|\$\(.*|\{\{.*|\{[\w.]*\}?|%[\w-]+%|%[sdvq]|\$[A-Za-z_]\w*|@[\w.]+\(.*|\[.*\]?|ENC\[.*|…|\.\.\..*|-+)$/s;
const saysSo =
  /example|placeholder|redacted|change-?_?me|your[-_ ]|[-_ ]here\b|x{4}|\*{3}|\.\.\.|dummy|sample|<[\w -]+>|(?<![a-z])todo(?![a-z])|replace[-_ ]|insert[-_ ]|not[-_]?set|1234567890abcdef|0123456789abcdef|abcdefghij/i;
const words = new Set(
  `string str text number boolean bool int any object array null nil none undefined true false yes no on off empty required optional
   hidden masked missing invalid valid wrong correct incorrect expired unknown default password passwd passwort pass pwd passphrase secret
   secrets token key apikey value user username admin-password test todo void never unset disabled enabled type field input label varchar
   char bytes buffer bearer basic digest env vault prompt changed updated reset stored encrypted plaintext weak strong protected private
   public short long common unique random generated hashed needed set not the and for with that this your from`.split(/\s+/),
);
// A call, a path of members, an element: code that names the value and does not hold it.
const isCode =
  /^(?:(?:await|new|typeof|void)$|[\w$.?!]*\w[\w$.?!]*[([{]|[A-Za-z_$][\w$]*(?:(?:\?\.|\.|->|::)[A-Za-z_$][\w$]*)+[!;,)]*$|process\.env|os\.environ|import\.meta|env\.|ENV\[|System\.getenv|self\.|this\.|&?[\w]+\[)/;
const isReference = /^(?:[a-z][\w+.-]*:\/\/|arn:|projects\/|op:|vault:|secretsmanager|\.{0,2}\/[\w.-]|~\/)/i;
const algorithm =
  /^(?:base\d|sha-?\d|md5|utf-?\d|bcrypt|argon2|aes(?![a-z])|rsa(?![a-z])|pbkdf2|scrypt|hmac|ed25519|es256|hs256|rs256|oauth2|\$2[aby]\$|\$argon2)/i;
// user-service-v2, next_page, 1.2.3-beta: names, not chance
const isName = /^(?:[A-Za-z]+\d{0,2}[-_./:])*[A-Za-z]+\d{0,2}$/;
const isVersion = /^v?\d+(?:\.\d+)+[\w.+-]*$|^\d{4}-\d\d-\d\d/;

export const isPlaceholder = (value: string): boolean =>
  stands.test(value) || (saysSo.test(value) && value.length < 200) || words.has(value.toLowerCase()) || new Set(value).size < 3;

/** How much the surroundings say: `quoted` holds a value for sure, `bare` may be code or prose, `said` is prose ("is"). */
export type Setting = 'quoted' | 'bare' | 'said' | 'env';

export function isPassword(value: string, setting: Setting): boolean {
  if (value.length < 4 || value.length > 1024 || isPlaceholder(value)) return false;
  const [digit, letter, symbol] = [hasDigit.test(value), hasLetter.test(value), hasSymbol.test(value)];
  if (/\s/.test(value)) return setting === 'quoted' && isPassphrase(value, digit || symbol);
  if (setting === 'quoted') return !(isReference.test(value) && !symbol);
  if (algorithm.test(value)) return false;
  if (setting === 'env') return value.length >= 5 && !isCode.test(value);
  if (setting === 'said') return value.length >= 6 && ((digit && letter) || (symbol && (letter || digit)));
  if (isCode.test(value) || isVersion.test(value)) return false;
  if (isReference.test(value)) return false;
  // newPassword1, token2: a variable
  if (/^[a-z_$]*(?:pass|pwd|secret|token|key)[a-z_]*\d?$/i.test(value)) return false;
  return value.length >= 6 && (digit || (symbol && letter));
}

/** "correct horse battery staple", and not "Enter your password". */
function isPassphrase(value: string, mixed: boolean): boolean {
  const parts = value.toLowerCase().split(/\s+/);
  if (value.length > 120 || parts.some((part) => words.has(part) || plain.has(part))) return false;
  return mixed
    ? parts.length <= 6
    : parts.length >= 4 && parts.length <= 10 && parts.every((part) => /^[\p{L}-]{3,}$/u.test(part));
}
const plain = new Set(
  'enter must be at least please is a an to of in or if it are was has have can should will may characters forgot confirm choose new old i we you'.split(
    ' ',
  ),
);

/** A token, an API key: as long and as mixed as chance makes them. */
export function isToken(value: string, setting: Setting): boolean {
  const least = setting === 'quoted' || setting === 'env' ? 8 : 12;
  if (value.length < least || value.length > 4096 || /\s/.test(value) || isPlaceholder(value)) return false;
  if (isReference.test(value) && !/^(?:\/?[A-Za-z0-9+/]{40}|[A-Za-z0-9+/]{40,}={1,2})$/.test(value)) return false;
  if (isName.test(value) || isVersion.test(value) || algorithm.test(value)) return false;
  if (setting !== 'quoted' && isCode.test(value)) return false;
  const mixed = hasDigit.test(value) && hasLetter.test(value);
  if (!mixed && !(value.length >= 8 && hasSymbol.test(value) && hasLetter.test(value))) return false;
  return entropyOf(value) >= (value.length < 16 ? 2.5 : 2.8);
}

/** Of tokens known by their form: those of documentation are all one letter, or say so. */
export const isReal = (value: string): boolean =>
  entropyOf(value.slice(0, 64)) >= 2.5 && !/example|placeholder|your[-_]|x{5}|\*{3}|0{8}|1234567890|abcdefghij/i.test(value);
