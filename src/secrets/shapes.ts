// Classifies values by their shape: placeholder, identifier, path, version, code, or random characters.

const counts = new Uint16Array(128);

/** Returns the Shannon entropy in bits per character, from the frequencies in the text. Counts a character outside ASCII as some ASCII character. */
export function entropyOf(text: string): number {
  counts.fill(0);
  const end = Math.min(text.length, 0xffff);
  for (let i = 0; i < end; i += 1) counts[text.charCodeAt(i) & 127]! += 1;
  let bits = 0;
  for (const n of counts) if (n > 0) bits -= (n / end) * Math.log2(n / end);
  return bits;
}

/** Character classes that a password consists of. */
export const hasDigit = /\d/;
export const hasLetter = /\p{L}/u;
export const hasSymbol = /[!@#$%^&*+?~|]/;

// Whole values that are placeholders: `********`, `<YOUR_API_KEY>`, `${TOKEN}`, `{{ secret }}`, `%PASS%`, `$DB_PASSWORD`, `[redacted:…]`.
const placeholderForms =
  /^(?:[*•.xX_#?-]+|<.*>?|\\?\$+\{.*|\$+\(.*|\{\{.*|\{[\w.]*\}?|%[\w-]+%|%[sdvq]|\$[A-Za-z_]\w*|@[\w.]+\(.*|@[a-z_]+|\$\w+@.*|\[.*\]?|ENC\[.*|(?:process\.env|import\.meta\.env|os\.environ|config|settings|secrets)(?:\.\w+|\[.*)+|\([a-z ]{1,30}\)|(?:required|nullable|sometimes|present|string)\|.*|…|\.\.\..*|-+)$/s;
const placeholderWords =
  /example|placeholder|redacted|change-?_?me|your[-_ ]|[-_ ]here\b|x{4}|\*{3}|\.\.\.|dummy|sample|<[\w -]+>|(?<![a-z])todo(?![a-z])|replace[-_ ]|insert[-_ ]|not[-_]?set|1234567890abcdef|0123456789abcdef|abcdefghij/i;
export const commonWords = new Set(
  `string str text number boolean bool int any function object array null nil none undefined true false yes no on off empty required optional
   hidden masked missing invalid valid wrong correct incorrect expired unknown default password passwd passwort pass pwd passphrase secret
   secrets token key apikey value user username admin-password test todo void never unset disabled enabled type field input label varchar
   char bytes buffer bearer basic digest env vault prompt changed updated reset stored encrypted plaintext weak strong protected private
   public short long common unique random generated hashed needed set not the and for with that this your from kennwort contraseña contrasena senha wachtwoord hasło heslo lösenord adgangskode salasana parola
   пароль 密码 密碼 パスワード 비밀번호 geheim jeton schlüssel geheimnis secreto segredo segreto ficha`.split(/\s+/),
);
// A call, a member path or an index expression: code that refers to the value and does not contain it.
export const isCode =
  /^(?:(?:await|new|typeof|void)$|[\w$.?!]*\w[\w$.?!]*[([{]|[A-Za-z_$][\w$]*(?:(?:\?\.|\.|->|::)[A-Za-z_$][\w$]*)+[!;,)]*$|process\.env|os\.environ|import\.meta|env\.|ENV\[|System\.getenv|self\.|this\.|&?[\w]+\[)/;
export const isPath = /^(?:~|\.{0,2})\/[\w./@-]*$/;
export const isReference =
  /^(?:[a-z][\w+.-]*:\/\/|arn:|urn:|did:|mailto:|data:|spiffe:|oid:|spring:|env:|file:|ref:|secret:\/|keyring:|keychain:|projects\/|op:|vault:|secretsmanager|\.{0,2}\/[\w.-]|~\/)/i;
export const algorithm =
  /^(?:base\d|sha-?\d|md5|utf-?\d|bcrypt|argon2|aes(?![a-z])|aes\d|jwt$|jws$|jwe$|rsa(?![a-z])|pbkdf2|scrypt|hmac|ed25519|(?:es|hs|rs|ps)(?:256|384|512)$|oauth2|\$2[aby]\$|\$argon2)/i;
const vowel = /[aeiouyäöü]/i;

/** Returns true for words with up to two numbers: user-service-v2, next_page, eu-west-1, RS256-signed. */
export function isIdentifier(value: string): boolean {
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
export const isVersion = /^[~^]?v?\d+(?:\.\d+)+[\w.+-]*$|^\d{4}-\d\d-\d\d/;

export const isPlaceholder = (value: string): boolean =>
  placeholderForms.test(value) ||
  (placeholderWords.test(value) && value.length < 200) ||
  commonWords.has(value.toLowerCase()) ||
  new Set(value).size < 3;

/** Matches tests/a1.test.ts, config.json:12. */
export const isFile = /^[\w@.-]*\/[\w@./-]*$|^[\w./-]+\.[a-z]{1,5}\d?(?::\d+)*$/;

const characterRuns = /[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+/g;
const MAX_MEAN_PIECE = 2.75;

/**
 * Returns true if the character class changes about every other character, as in `OI5w8FZmqx6ZYi`. Names such as `Base64UrlSafe` have longer pieces.
 */
export function isJumbled(value: string): boolean {
  const runs = value.slice(0, 200).match(characterRuns) ?? [];
  const length = runs.reduce((sum, piece) => sum + piece.length, 0);
  if (length < 8) return false;
  const classes = [/[a-z]/, /[A-Z]/, /\d/].filter((sort) => sort.test(value)).length;
  return classes > 1 && (classes === 3 || length >= 10) && length / runs.length < MAX_MEAN_PIECE;
}

/** Returns true for `ClientHttp2Session`, `TestToken2Refresh`. */
export const isTypeName = (value: string): boolean => /^[A-Z][a-z]+\d*[A-Z][a-z][A-Za-z\d]*$/.test(value) && !isJumbled(value);

/** Returns true for code, but not for two random parts with a dot between them. */
export const isCodeExpression = (value: string): boolean =>
  isCode.test(value) && !(/^\w{4,}\.\w{4,}$/.test(value) && isJumbled(value));
