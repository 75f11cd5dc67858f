import type { SecretName } from './secret_names.ts';

// Names of secrets that consist of several words, or that are in languages without spaces between words.

const password = `mật khẩu|kata sandi|كلمة (?:المرور|السر|مرور)|पासवर्ड|κωδικός(?: πρόσβασης)?|ה?סיסמה|รหัสผ่าน|密[码碼]|口令|暗号|パスワード|パスフレーズ|비밀번호|암호|비번|phrase secrète|frase secreta`;
const preposition = String.raw`\s(?:d(?:e|i|el|ella|e la|a|o)\s|доступа\s)?(?:d['’])?`;
const qualifier = `(?:api|secr[eè]t[ae]|segreta|acc[eè]s|acc?es+o|privad[ao]|priv[eé]e|privata|wi-?fi|wlan|cifrado|chiffrement|шифрования)`;
const token = String.raw`(?:cl[eé]|clave|chave|chiave|ключ)${preposition}${qualifier}|(?:api|wlan|wi-?fi|zugangs|zugriffs|geheim)[- ]?schlüssel|(?:api|アクセス)\s?キー|api\s?(?:密[钥鑰]|令牌)|密[钥鑰]|令牌|秘密鍵|トークン|jetons?(?: d['’]acc[eè]s)?|api[- ]ключ`;

const name = new RegExp(`(?:(?<password>${password})|(?<token>${token})|(?<strict>clave)(?=\\s))`, 'iuy');

const keyName: SecretName = { kind: 'api-key', form: 'token' };
const passwordName: SecretName = { kind: 'password', form: 'password' };
/** Spanish "clave" means a key of any kind. */
const claveName: SecretName = { kind: 'password', form: 'password', strict: true };

/** Returns the name that starts at a position, if there is one. */
export function matchNameAt(text: string, at: number): { end: number; named: SecretName } | undefined {
  name.lastIndex = at;
  const match = name.exec(text);
  if (!match) return undefined;
  return { end: name.lastIndex, named: match.groups!.token ? keyName : match.groups!.strict ? claveName : passwordName };
}

/** The first three characters of these names, for the table in anchors.ts. Names of two characters are searched for with `twoCharacterNames`. */
export const foreignNamePrefixes =
  'mật kat كلم पास κωδ ΚΩδ Κωδ סיס הסי รหั パスワ パスフ 비밀번 phr fra cle clé cla cha chi клю Клю api wla wif wi- jet zug geh アクセ 秘密鍵 トーク'.split(
    ' ',
  );
export const twoCharacterNames = /密[码碼钥鑰]|口令|令牌|暗号|암호|비번/g;
