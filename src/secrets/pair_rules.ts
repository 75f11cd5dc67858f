import type { KeywordRule } from './keyword_rule.ts';
import { isSecretValue } from './named_values.ts';
import { looksRandom } from './randomness.ts';
import { classifyName } from './secret_names.ts';
import { isTypeName } from './shapes.ts';
import { isPassword } from './value.ts';

// Rules for secrets that are recognized by what precedes them: a user before a password, a form field before the typed value, "PIN" before digits.

const isProsePassword = (value: string): boolean =>
  (isPassword(value, 'prose') || looksRandom(value)) && !value.startsWith('/') && !isTypeName(value);
/** For quoted arguments, requires a digit or a symbol, because a plain word is as often a name. */
const isQuotedArgument = (value: string): boolean =>
  isPassword(value, 'quoted') && (/[\d!@#$%^&*?]/.test(value) || looksRandom(value));
export const isNamedSecret = (value: string, name: string): boolean => {
  const named = classifyName(name.replace(/[^\p{L}\d]+$/u, '').replace(/^.*[^\w-]/, ''));
  return named !== undefined && isSecretValue(value, named, 'quoted');
};

const logins = String.raw`\b(?:log(?:ged|ging)?[ -]?(?:in|on|into)|logon|login|sign(?:ed|ing)?[ -]?in|connect(?:ed|ing)?|authenticated?|credentials?|creds|zugang(?:sdaten)?|anmeld\w{0,4}|meld\w{0,2}|einloggen|entra|entrar|accede|connecte|connexion|identifiants?|acc[eè]s|credenciales|credenciais|credenziali|inicia sesión|account|wi-?fi|wlan)\b`;
const user = String.raw`[a-z][\w.+@\\-]{0,63}`;

export const pairRules: KeywordRule[] = [
  {
    kind: 'password',
    keywords: [
      'ogin',
      'og in',
      'OGIN',
      'og on',
      'gged in',
      'ign in',
      'onnect',
      'uthenticat',
      'reds',
      'edential',
      'EDENTIAL',
      'ugang',
      'nmeld',
      'elde ',
      'loggen',
      'ntra',
      'ccede',
      'dentifiant',
      'redenci',
      'sesión',
      'ccount',
      'ifi',
      'i-Fi',
      'WLAN',
    ],
    pattern: new RegExp(
      String.raw`${logins}(?:[^\n]{0,40}?[ \t:("'\x60])??${user}["'\x60]?(?:[ \t]/[ \t]|[ \t]?[|:][ \t]|[:/])["'\x60]?([^\s"'\x60,;()]{6,64})`,
      'giu',
    ),
    isSecret: (value) => isProsePassword(value.replace(/[.?:]+$/, '')) && !/^\d+$|\w\/\w/.test(value),
  },
  {
    kind: 'password',
    keywords: ['ogin', 'og in', 'ign in', 'reds', 'edential', 'uthenticat', 'onnect', 'ugang', 'nmeld'],
    pattern: new RegExp(
      String.raw`${logins}[^\n]{0,40}?\s${user}\s(?:and|und|y|et|e|with|mit|con)\s(?:(?:the\s)?password\s)?["'\x60]?([^\s"'\x60,;()]{6,64})`,
      'giu',
    ),
    isSecret: (value) => looksRandom(value.replace(/[.?:]+$/, '')),
  },
  {
    kind: 'password',
    keywords: ['root/', 'admin/', 'user/', 'root:', 'admin:', 'root / ', 'admin / '],
    pattern: /(?<![^\s("'`])(?:root|admin|administrator|user|test|guest|sa)(?:[/:]|\s\/\s)([^\s"'`,;()/]{6,64})/gi,
    isSecret: looksRandom,
  },
  {
    kind: 'password',
    keywords: ['u: ', 'U: ', 'user: ', 'USER: ', 'User: '],
    pattern: /\bu(?:ser)?:[ \t][\w.+@-]{2,64}[\s,;/]{1,4}p(?:w|ass)?:[ \t]?([^\s"',;]{4,128})/gi,
    isSecret: isProsePassword,
  },
  {
    kind: 'password',
    keywords: ['uth(', 'uth=', 'uth =', "uth':", 'uth":', 'edentials(', 'edential(', 'onnection(', 'ogin(', 'asic('],
    pattern:
      /\b[\w.]{0,30}(?:[aA]uth|[cC]redentials?|getConnection|[lL]ogin|[bB]asic)["']?\s{0,2}(?:\(|[:=]\s{0,2}\()(?:[^()\n]{1,200},\s{0,4})?["'][\w.@+\\-]{1,64}["'],\s{0,4}["']([^"'\n]{4,200})["']\s{0,2}\)/g,
    isSecret: isQuotedArgument,
  },
  {
    kind: 'password',
    keywords: ['equelize(', 'mysqli(', 'mysqli_connect(', 'PDO(', 'onnect(', 'ddlogin ', 'reateUser('],
    pattern:
      /\b(?:[sS]equelize|mysqli(?:_connect)?|PDO|[cC]onnect|createUser|sp_addlogin)(?:\(|\s)(?:["'][^"'\n]{1,200}["'],\s{0,4}){0,2}N?["'][\w.@+\\-]{1,64}["'],\s{0,4}N?["']([^"'\n]{6,200})["']\s{0,2}(?:[),;]|$)/gm,
    isSecret: (value) => looksRandom(value) || (isPassword(value, 'quoted') && /[!@#$%^&*?]/.test(value)),
  },
  {
    kind: 'password',
    keywords: ['PRAGMA key', 'pragma key', 'PRAGMA rekey'],
    pattern: /\bpragma\s(?:re)?key\s{0,2}=\s{0,2}["']([^"'\n]{4,200})["']/gi,
    isSecret: (value) => isPassword(value, 'quoted'),
  },
  {
    kind: 'password',
    keywords: ['SecureString'],
    pattern: /ConvertTo-SecureString\s(?:-String\s)?["']([^"'\n]{4,200})["']/gi,
    isSecret: (value) => isPassword(value, 'quoted'),
  },
  {
    kind: 'private-key',
    keywords: ['allet', 'from_key', 'rivateKey', 'importprivkey', 'import_key', 'ToAccount'],
    pattern:
      /(?:Wallet|from_key|[fF]romPrivateKey|privateKeyToAccount|importprivkey|import_key)\(?\s?["']?((?:0x)?[\da-f]{64}|[5KLc9][1-9A-HJ-NP-Za-km-z]{50,51})/g,
    isSecret: () => true,
  },
  {
    kind: 'password',
    keywords: ['fill(', 'type(', 'setValue(', 'end_keys(', 'endKeys(', 'enterText(', 'typeText('],
    pattern:
      /\b(?:fill|type|typeText|enterText|setValue|send_keys|sendKeys)\(\s?["'`][^\n,]{0,60}(?:passw|pwd|passphrase|secret|token|otp)[^\n]{0,30}?["'`],\s{0,4}["'`]([^"'`\n]{4,200})["'`]/gi,
    isSecret: isQuotedArgument,
  },
  {
    kind: 'password',
    keywords: ['fill(', 'type(', 'setValue(', 'end_keys(', 'endKeys(', 'enterText(', 'typeText('],
    pattern:
      /(?:passw\w{0,5}|pwd|passphrase|secret|token|otp)["'`\])\s]{1,8}\.(?:first\(\)\.)?(?:fill|type|typeText|setValue|send_keys|sendKeys)\(\s?["'`]([^"'`\n]{4,200})["'`]/gi,
    isSecret: isQuotedArgument,
  },
  {
    kind: 'password',
    keywords: ['expect'],
    pattern: /\bexpect\b[^\n]{0,20}assw(?:or)?d[^\n]{0,20}\n?[^\n]{0,20}\bsend(?:line)?(?:\s--)?[\s(]"([^"\n\\]{4,200})/g,
    isSecret: (value) => isPassword(value, 'quoted') && !value.startsWith('$'),
  },
  {
    kind: 'pin',
    keywords: ['PIN', 'pin ', 'Pin', 'code', 'Code', 'OTP', 'otp', 'CVV', 'cvv', 'CVC', 'cvc', 'assword', 'sswort'],
    pattern:
      /\b(?:pin(?:[ -]?(?:code|number|nummer))?|passcode|(?:verification|security|confirmation|login|unlock|door|gate|alarm|safe|auth(?:entication)?|2fa|mfa|otp|sms|one[- ]time|entsperr)[ -]?(?:code|passcode|password|pin)|otp|cvv2?|cvc2?|einmal(?:passwort|code))(?:\s(?:for|to|of|für|code)\s[^.:=\n]{1,40}?)?(?:\s(?:is|was|lautet|ist|es|est|è)(?:\snow)?\s?:?|\s?[:=→])\s{1,3}["'`]?(\d{3,8})(?![\d-]|[.,]\d|\s?(?:digit|char|second|minute|ms\b|s\b|%|to\b|bis\b|or\b|–|x\b))/giu,
    isSecret: () => true,
  },
  {
    kind: 'pin',
    keywords: ['暗証番号', '验证码', '驗證碼', '인증번호', 'PIN码'],
    pattern: /(?:暗証番号|验证码|驗證碼|인증번호|PIN码)\s?(?:は|是|为|：|:|는|은)?\s?(\d{4,8})(?![\d位桁])/g,
    isSecret: () => true,
  },
  {
    kind: 'recovery-code',
    keywords: ['ecovery', 'ackup', 'escue', 'cratch', 'mergency', 'ecover'],
    pattern:
      /\b(?:recovery|backup|rescue|scratch|emergency) (?:codes?|keys?)[^\n:=]{0,40}[:=]\s{0,4}((?:[A-Za-z\d]{4,8}(?:-[A-Za-z\d]{4,8}){1,7}[\s,]{0,4}){1,20})/gi,
    isSecret: (value) => value.split(/[\s,]+/).every((code) => code === '' || (/\d/.test(code) && /-/.test(code))),
  },
  {
    kind: 'mnemonic',
    keywords: ['phrase', 'nemonic', ' words', 'Seed', 'seed'],
    pattern:
      /\b(?:(?:seed|recovery|wallet|backup|secret)[ -](?:phrase|words)|mnemonic|seed)[^\n:="“]{0,40}[:="“]\s{0,3}["'“]?((?:[a-z]{3,8} ){11,23}[a-z]{3,8})\b/gi,
    isSecret: (value) => value.split(' ').length % 3 === 0,
  },
  {
    kind: 'totp-secret',
    keywords: ['TOTP', 'otp', '2FA', 'MFA', 'uthenticator'],
    pattern: /\b(?:totp|otp|2fa|mfa|authenticator)\s(?:seed|secret|key|code)?[^\n]{0,30}?[:=]?\s["'`]?([A-Z2-7]{16,64})\b/gi,
    isSecret: (value) => /[A-Z]/.test(value) && /[2-7]/.test(value) && !/[a-z]/.test(value),
  },
];
