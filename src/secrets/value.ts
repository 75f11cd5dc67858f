import {
  algorithm,
  commonWords,
  entropyOf,
  hasDigit,
  hasLetter,
  hasSymbol,
  isCode,
  isCodeExpression,
  isFile,
  isIdentifier,
  isJumbled,
  isPath,
  isPlaceholder,
  isReference,
  isTypeName,
  isVersion,
} from './shapes.ts';

// Decides whether the value of a name that announces a secret is one, or a placeholder, code or an ordinary word.

/**
 * The context of a value: `quoted` is certainly a value, `bare` may be code or prose, `prose` follows a verb such as "is", `env` is an environment
 * variable or a command-line argument.
 */
export type ValueSetting = 'quoted' | 'bare' | 'prose' | 'env';

const isVariable = /^[a-z_$]*(?:MD5)?(?:pass|pwd|secret|token|key)[a-z_]*\d?$/i;
/** Matches a regular expression, the end of a call or block, or a command substitution. */
const isExpression = /^[)}\]|,;&]|\(\?:|\$\(|\.\*|\|.*\||\([^)]*\)[.;,)]|^\/\^/;

export function isPassword(value: string, setting: ValueSetting): boolean {
  if (value.length < 4 || value.length > 1024 || isPlaceholder(value)) return false;
  if (setting !== 'quoted' && isExpression.test(value)) return false;
  const [digit, letter, symbol] = [hasDigit.test(value), hasLetter.test(value), hasSymbol.test(value)];
  if (/\s/.test(value)) return setting === 'quoted' && isPassphrase(value, digit || symbol);
  if (setting === 'quoted') return !(isReference.test(value) && !symbol) && !isVersion.test(value);
  if (algorithm.test(value)) return false;
  if (setting === 'env') return value.length >= 5 && !isCodeExpression(value) && !isPath.test(value) && !isReference.test(value);
  if (setting === 'prose') {
    if (isVariable.test(value) || isCodeExpression(value) || isTypeName(value) || isReference.test(value)) return false;
    const inner = hasSymbol.test(value.replace(/[?!]+$/, ''));
    return (
      value.length >= 6 &&
      !isFile.test(value) &&
      !/^[\w.]+=/.test(value) &&
      ((digit && letter) || (inner && (letter || digit)) || isDashed(value) || isJumbled(value))
    );
  }
  if (isCodeExpression(value) || isTypeName(value) || isVersion.test(value) || /^![A-Za-z/]+$/.test(value)) return false;
  if (isReference.test(value)) return false;
  // the name of a variable: newPassword1, token2
  if (isVariable.test(value)) return false;
  return value.length >= 6 && (digit || (symbol && letter) || isDashed(value) || isJumbled(value));
}

/** Returns true for a password on a command line, where `$` starts a variable. */
export const isCommandLineValue = (value: string): boolean => isPassword(value, 'env') && !value.startsWith('$');

/** Returns true for correct-horse-battery-staple. */
const isDashed = (value: string): boolean => /^[a-z]{3,12}(?:[-_.][a-z]{3,12}){3,}$/i.test(value);

/** Returns true for a mnemonic (BIP 39): 12 to 24 words of three to eight letters. */
const isMnemonic = (parts: string[]): boolean =>
  parts.length >= 12 && parts.length <= 24 && parts.length % 3 === 0 && parts.every((part) => /^[a-z]{3,8}$/.test(part));

/** Returns true for "correct horse battery staple", but not for "Enter your password". */
function isPassphrase(value: string, mixed: boolean): boolean {
  const parts = value.toLowerCase().split(/\s+/);
  if (isMnemonic(parts)) return true;
  if (value.length > 160 || parts.length > 12 || interfaceWords.test(value) || /[.?!:…,;()=<>{}]$|[=<>{}()]/.test(value))
    return false;
  if (mixed) return parts.length <= 8 && !parts.some((part) => commonWords.has(part) && part.length > 5);
  return (
    parts.length >= 3 &&
    parts.every((part) => /^[\p{L}'-]{1,}$/u.test(part)) &&
    parts.filter((part) => part.length > 2).length >= 3
  );
}
/** Words in labels, errors and descriptions of a password. */
const interfaceWords =
  /\b(?:enter|password|passphrase|passcode|pass|must|least|required?|requires|invalid|incorrect|please|confirm|forgot(?:ten)?|reset|change|your|characters?|should|cannot|minimum|maximum|choose|wrong|expired?|policy|hint|optional|provide|missing|match(?:es)?|field|value|string|token|secret|credential|key|account|user|login|log in|sign|email|is|are|was|were|be|been|has|have|will|if|or|for|from|when|not|none|no|unknown|default|see|stored|hidden|masked|generated|managed|below|above|set|used?|given|test|length|type|show|hide|new|old|current)\b|passwor|mot de passe|contrase|senha|пароль|密码|パスワード/iu;

/** Returns true for a token or API key: long enough, with mixed characters and high entropy. */
export function isToken(text: string, setting: ValueSetting): boolean {
  const value = text.replace(/^(?:base64|hex):/, '');
  const least = setting === 'quoted' || setting === 'env' ? 8 : 12;
  if (value.length < least || value.length > 4096 || /\s/.test(value) || isPlaceholder(value)) return false;
  if (isPath.test(value) && value.split('/').length > 2 && value.length < 40) return false;
  if (isReference.test(value) && !isLongBase64(value)) return false;
  if (isIdentifier(value) || isVersion.test(value) || algorithm.test(value)) return false;
  if (setting !== 'quoted' && ((isCode.test(value) && !isJumbled(value.split('.').at(-1)!)) || /[()[\]|{}]/.test(value)))
    return false;
  // JWT/RS256-signed
  if (value.split(/[/_:-]/).some((part) => algorithm.test(part)) && value.length < 40) return false;
  const mixed = hasDigit.test(value) && hasLetter.test(value);
  if (!mixed && !isJumbled(value) && !(value.length >= 8 && hasSymbol.test(value) && hasLetter.test(value))) return false;
  return entropyOf(value) >= (value.length < 16 ? 2.5 : 2.8);
}

/** Returns true for random bytes in Base64, of which one in 64 begins like a path. */
const isLongBase64 = (value: string): boolean =>
  /^[A-Za-z0-9+/]{40,}={0,2}$/.test(value) && (value.length === 40 || value.endsWith('=') || isJumbled(value));

/** Returns false for the tokens in documentation, which repeat one letter or contain a word such as "example". */
export const isNotExample = (value: string): boolean =>
  entropyOf(value.slice(0, 64)) >= 2.5 && !/example|placeholder|your[-_]|x{5}|\*{3}|0{8}|1234567890|abcdefghij/i.test(value);

/** Returns true for a user and password in Base64 (RFC 7617). */
export const isBasicLogin = (value: string): boolean =>
  /^[A-Za-z0-9+/_-]{8,500}={0,2}$/.test(value) &&
  /^[\x20-\x39\x3b-\x7e]{1,100}:[\x20-\x7e]{3,}$/.test(Buffer.from(value, 'base64').toString('latin1'));
