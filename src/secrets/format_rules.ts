import type { KeywordRule } from './keyword_rule.ts';
import { kubernetesSecrets } from './named_values.ts';
import { isNamedSecret } from './pair_rules.ts';
import { isSessionCookie } from './secret_names.ts';
import { entropyOf, isJumbled, isPlaceholder } from './shapes.ts';
import type { Span } from './tokens.ts';
import { isCommandLineValue, isNotExample, isPassword, isToken } from './value.ts';

// Rules for secrets in the formats in which programs store them: cookies, signed URLs, .netrc, .pgpass, JSON Web Keys, key files of PuTTY and SSH2.

const isLong = (value: string): boolean =>
  value.length >= 16 && !isPlaceholder(value) && /\d/.test(value) && entropyOf(value) > 2.5;

export const formatRules: KeywordRule[] = [
  {
    kind: 'signature',
    keywords: ['ignature=', 'IGNATURE=', 'sig=', 'ecurity-Token='],
    pattern:
      /[?&;,\s](?:amp;)?(?:sig|signature|x-(?:amz|goog|oss|obs|tos|cos|ms)-(?:signature|security-token))=([\w%+/=.~-]{16,3000})/gi,
    isSecret: isLong,
  },
  {
    kind: 'token',
    keywords: ['token=', 'token%3D', 'jwt=', 'auth=', 'key=', 'key%3D', 'code=', 'code%3D', 'ticket='],
    pattern:
      /(?:[?&#]|%3F|%26|%23)(?:amp;)?(?:\w{0,20}token|jwt|auth|\w{0,12}key|code|ticket)(?:=|%3D)((?:(?!%26)[\w%+/=.~:-]){16,3000})/gi,
    isSecret: isLong,
  },
  {
    kind: 'cookie',
    keywords: ['ookie', 'OOKIE', ' -b '],
    pattern:
      /(?:(?:^|[^\w-])(?:set-)?cookie["']?\s{0,3}[:=]\s{0,3}["']?|\s(?:-b|--cookie)[ =]{1,3}["']?)([^\s=;"']{1,100})=([^\s;"',]{6,4096})/gi,
    findMore: (text, place, found) => furtherCookies(text, place, found),
    isSecret: (value, name) =>
      isToken(value, isSessionCookie(name) ? 'quoted' : 'bare') || (isSessionCookie(name) && isLong(value)),
  },
  {
    kind: 'token',
    keywords: ['SSWS '],
    pattern: /\bSSWS ([\w-]{20,100})/g,
    isSecret: isLong,
  },
  {
    kind: 'secret',
    keywords: ['otpauth://', 'otpauth%3A'],
    pattern: /\botpauth(?::\/\/|%3A%2F%2F)[^\s"'<>]{1,300}?(?:[?&]|%3F|%26)secret(?:=|%3D)([A-Za-z2-7]{16,128})/g,
    isSecret: isNotExample,
  },
  {
    kind: 'secret',
    keywords: ['::add-mask::'],
    pattern: /::add-mask::([^\s"'`$]{4,1024})/g,
    isSecret: (value) => isPassword(value, 'quoted'),
  },
  {
    kind: 'password',
    keywords: ['machine ', 'default '],
    pattern: /\b(?:machine\s{1,9}\S{1,255}|default)\s{1,9}login\s{1,9}\S{1,255}\s{1,9}password\s{1,9}(\S{3,256})/g,
    isSecret: isCommandLineValue,
  },
  {
    kind: 'password',
    keywords: [':5432:', ':6432:', ':5433:', ':*:'],
    pattern: /^[\w.*-]{1,255}:(?:5432|5433|6432|\*):[^:\s]{1,64}:[^:\s]{1,64}:(\S{3,256})$/gm,
    isSecret: isCommandLineValue,
  },
  {
    kind: 'password',
    keywords: ['@tcp(', '@unix('],
    pattern: /[\w.-]{1,64}:([^\s:@"']{3,128})@(?:tcp|unix)\(/g,
    isSecret: (value) => !isPlaceholder(value),
  },
  {
    kind: 'password',
    keywords: ['jdbc:oracle:'],
    pattern: /jdbc:oracle:\w{1,10}:[\w$#]{1,64}\/([^@\s/]{3,128})@/g,
    isSecret: (value) => !isPlaceholder(value),
  },
  {
    kind: 'url-password',
    keywords: ['://'],
    pattern: /:\/\/([\w.~%-]{16,400}):(?:x-oauth-basic|x)?@/g,
    isSecret: isLong,
  },
  {
    kind: 'url-password',
    keywords: ['://'],
    pattern: /:\/\/([\w.~%-]{16,400})@/g,
    isSecret: (value) => isLong(value) && (isJumbled(value) || /^[\da-f]{32,}$/.test(value)),
  },
  {
    kind: 'secret',
    keywords: ['value'],
    pattern:
      /\b(?:name|key|header)\\?["']?\s{0,3}[:=]\s{0,3}\\?["']?([\w.-]{1,60})\\?["']?,?\s{1,40}\\?["']?value\\?["']?\s{0,3}[:=]\s{0,3}\\?["']?(?:bearer |basic |token )?([^\s"'\\]{4,1024})/gi,
    isSecret: isNamedSecret,
  },
  {
    kind: 'secret',
    keywords: ['"value":"'],
    pattern: /"(?:name|key|header)":"([\w.-]{1,60})","value":"(?:bearer |basic |token )?([^\s"\\]{4,1024})"/gi,
    isSecret: isNamedSecret,
  },
  {
    kind: 'password',
    keywords: ['IDENTIFIED', 'identified'],
    pattern: /\bidentified\s{1,4}(?:with\s{1,4}\S{1,60}\s{1,4})?by\s{1,4}["']([^"'\n]{3,256})["']/gi,
    isSecret: (value) => isPassword(value, 'quoted'),
  },
  {
    kind: 'jwk',
    keywords: ['"kty"', '\\"kty\\"'],
    pattern: /"(?:d|p|q|dp|dq|qi|k)\\?"\s{0,4}:\s{0,4}\\?"([\w-]{16,2000})\\?"/g,
    isSecret: (value) => entropyOf(value.slice(0, 64)) > 2.5,
  },
  {
    kind: 'private-key',
    keywords: ['Private-Lines:'],
    pattern: /Private-Lines: \d{1,4}\s{1,4}((?:[A-Za-z0-9+/=]{1,80}\s{0,4}){1,200})/g,
    isSecret: (value) => value.length >= 40,
  },
  {
    kind: 'private-key',
    keywords: ['---- BEGIN SSH2 ENCRYPTED', '-----BEGIN OpenVPN Static key'],
    pattern: /-{4,5} ?BEGIN (?:SSH2 ENCRYPTED PRIVATE KEY|OpenVPN Static key V1) ?-{4,5}((?:\s{0,4}[^\s-][^\n-]{0,100}){1,200})/g,
    isSecret: (value) => value.length >= 40,
  },
  {
    kind: 'cookie',
    keywords: ['\tTRUE\t', '\tFALSE\t'],
    pattern: /\t(?:TRUE|FALSE)\t\d{1,12}\t([^\t\n]{1,100})\t([^\s]{8,4096})/g,
    isSecret: (value, name) => isToken(value, 'quoted') || (isSessionCookie(name) && isLong(value)),
  },
  {
    kind: 'signature',
    keywords: ['igest username', 'igest realm'],
    pattern: /\bDigest (?:username|realm)=[^\n]{1,600}?\bresponse="?([\da-f]{32,64})/g,
    isSecret: () => true,
  },
  {
    kind: 'secret',
    keywords: ['variable "'],
    pattern: /\bvariable\s"([\w-]{1,60})"\s\{[^{}]{0,300}?\bdefault\s{0,10}=\s{0,3}"([^"\n]{4,300})"/g,
    isSecret: isNamedSecret,
  },
  {
    kind: 'secret',
    keywords: ['"value"', '\\"value\\"', '"Value"', '"default"'],
    pattern:
      /([\w-]{1,60})\\?["']?\s{0,3}[:=]\s{0,3}\{\s{0,20}\\?["'](?:value|default|plaintext)\\?["']\s{0,3}[:=]\s{0,3}\\?["']([^"'\n\\]{4,1024})\\?["']/gi,
    isSecret: isNamedSecret,
  },
  {
    kind: 'secret',
    keywords: ['name="', "name='"],
    pattern: /\bname=["']([\w-]{1,60})["']\r?\n(?:[^\n]{1,100}\r?\n){0,3}?\r?\n([^\r\n]{4,300})/g,
    isSecret: isNamedSecret,
  },
  {
    kind: 'secret',
    keywords: ['kind: Secret'],
    pattern: /kind: Secret(?!\w)/g,
    isSecret: () => false,
    findMore: (text, _place, found) => kubernetesSecrets(text, found),
  },
  {
    kind: 'secret',
    keywords: ['key="', 'name="', 'id="'],
    pattern: /\b(?:key|name|id)="([\w.-]{1,60})"[^<>\n]{0,60}>([^<>\n]{4,1024})</g,
    isSecret: (value, name) => /[\d!@#$%^&*?]/.test(value) && !/\s/.test(value) && isNamedSecret(value, name),
  },
  {
    kind: 'azure-key',
    keywords: ['"keyName"', 'keyName:'],
    pattern: /\bkeyName\\?["']?:\s{0,3}\\?["']?\w{1,20}[^}\n]{0,120}?value\\?["']?:\s{0,3}\\?["']?([\w+/]{40,100}={0,2})/g,
    isSecret: () => true,
  },
  {
    kind: 'password',
    keywords: ['WIFI:'],
    pattern: /\bWIFI:(?:[A-Z]:[^;\n]{0,64};){0,3}P:((?:\\.|[^;\\\n]){4,128});/g,
    isSecret: (value) => !isPlaceholder(value),
  },
  {
    kind: 'teams-webhook',
    keywords: ['webhook.office.com/'],
    pattern: /https:\/\/[\w.-]{1,60}\.webhook\.office\.com\/webhookb2\/([\w@/-]{60,300})/g,
    isSecret: () => true,
  },
];

/** Finds the cookies after the first one in the same line: `Cookie: a=1; b=2`. */
function furtherCookies(text: string, { kind, isSecret }: Pick<KeywordRule, 'kind' | 'isSecret'>, found: Span[]): void {
  const line = /(?:^|[^\w-])(?:set-)?cookie["']?\s{0,3}[:=]\s{0,3}["']?([^\r\n"']{1,8192})/gi;
  for (const match of text.matchAll(line)) {
    const start = match.index + match[0].length - match[1]!.length;
    for (const pair of match[1]!.matchAll(/;\s{0,3}([^\s=;]{1,100})=([^\s;,]{6,4096})/g)) {
      const value = pair[2]!;
      const from = start + pair.index + pair[0].length - value.length;
      if (isSecret(value, pair[1]!)) found.push({ from, to: from + value.length, kind });
    }
  }
}
