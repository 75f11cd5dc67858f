import { accepts } from './context.ts';
import { readName } from './name.ts';
import type { Span } from './tokens.ts';
import { entropyOf, isPassword, isPlaceholder, isToken } from './value.ts';

// Secrets known by the place where programs keep them: cookies, signed URLs, .netrc, .pgpass, command lines, JSON Web Keys, the key
// files of PuTTY and SSH2. Each is looked for only where a text has the fixed word that such a place begins with.

interface Place {
  kind: string;
  /** Any of these must be in the text, or it is not read. */
  words: string[];
  /** Its last group that took part is the secret. Every part is bounded. */
  pattern: RegExp;
  is(value: string, name: string): boolean;
}

const isLong = (value: string): boolean =>
  value.length >= 16 && !isPlaceholder(value) && /\d/.test(value) && entropyOf(value) > 2.5;
const isWord = (value: string): boolean => isPassword(value, 'env') && !value.startsWith('$');
const sessions = /sess|sid|auth|token|jwt|remember|csrf|xsrf|login|secret|ticket|\bid$/i;
/** `name: DB_PASSWORD, value: …` */
const isNamed = (value: string, name: string): boolean => {
  const named = readName(name);
  return named !== undefined && accepts(value, named, 'quoted');
};

const places: Place[] = [
  {
    kind: 'signature',
    words: ['ignature=', 'sig=', 'ecurity-Token='],
    pattern:
      /[?&;](?:amp;)?(?:sig|signature|x-(?:amz|goog|oss|obs|tos|cos|ms)-(?:signature|security-token))=([\w%+/=.~-]{16,3000})/gi,
    is: isLong,
  },
  {
    kind: 'token',
    words: ['token=', 'jwt=', 'auth=', 'key=', 'code=', 'ticket='],
    pattern: /[?&#](?:amp;)?(?:\w{0,20}token|jwt|auth|key|code|ticket)=([\w%+/=.~:-]{16,3000})/gi,
    is: isLong,
  },
  {
    kind: 'cookie',
    words: ['ookie'],
    pattern: /(?:^|[^\w-])(?:set-)?cookie["']?\s{0,3}[:=]\s{0,3}["']?([^\s=;"']{1,100})=([^\s;"',]{6,4096})/gi,
    is: (value, name) => isToken(value, sessions.test(name) ? 'quoted' : 'bare') || (sessions.test(name) && isLong(value)),
  },
  {
    kind: 'password',
    words: ['machine ', 'default '],
    pattern: /\b(?:machine\s{1,9}\S{1,255}|default)\s{1,9}login\s{1,9}\S{1,255}\s{1,9}password\s{1,9}(\S{3,256})/g,
    is: isWord,
  },
  {
    kind: 'password',
    words: [':5432:', ':6432:', ':5433:', ':*:'],
    pattern: /^[\w.*-]{1,255}:(?:5432|5433|6432|\*):[^:\s]{1,64}:[^:\s]{1,64}:(\S{3,256})$/gm,
    is: isWord,
  },
  {
    kind: 'password',
    words: ['mysql', 'mariadb'],
    pattern: /\b(?:mysql|mariadb)[a-z-]{0,12}\s(?:[^\n|&;]{0,200}?\s)?-p([^\s"']{4,200})/g,
    is: isWord,
  },
  {
    kind: 'password',
    words: [
      'docker login',
      'redis-cli',
      'htpasswd -',
      'ldapsearch',
      'mongosh',
      'podman login',
      'helm registry login',
      'zip -P',
      'unzip -P',
    ],
    pattern:
      /(?:(?:docker|podman) login|helm registry login|redis-cli|ldapsearch|mongosh|(?:un)?zip)\s(?:[^\n|&;]{0,200}?\s)?-(?:p|a|w|P)\s{1,3}["']?([^\s"']{4,200})/g,
    is: isWord,
  },
  {
    kind: 'password',
    words: ['htpasswd -'],
    pattern: /\bhtpasswd\s+-\w{0,5}b\w{0,5}\s{1,3}\S{1,200}\s{1,3}\S{1,64}\s{1,3}["']?([^\s"']{4,200})/g,
    is: isWord,
  },
  {
    kind: 'password',
    words: ['@tcp(', '@unix('],
    pattern: /[\w.-]{1,64}:([^\s:@"']{3,128})@(?:tcp|unix)\(/g,
    is: (value) => !isPlaceholder(value),
  },
  { kind: 'password', words: ['7z'], pattern: /\b7z[a-z]?\s(?:[^\n|&;]{0,200}?\s)?-p([^\s"']{4,200})/g, is: isWord },
  { kind: 'password', words: ['pass:'], pattern: /-pass(?:in|out)?\s{1,3}["']?pass:([^\s"']{4,200})/g, is: isWord },
  {
    kind: 'password',
    words: ['jdbc:oracle:'],
    pattern: /jdbc:oracle:\w{1,10}:[\w$#]{1,64}\/([^@\s/]{3,128})@/g,
    is: (value) => !isPlaceholder(value),
  },
  {
    kind: 'url-password',
    words: [':x-oauth-basic@', ':@', ':x@'],
    pattern: /:\/\/([\w.~-]{16,400}):(?:x-oauth-basic|x)?@/g,
    is: isLong,
  },
  {
    kind: 'secret',
    words: ['value'],
    pattern:
      /\b(?:name|key|header)\\?["']?\s{0,3}[:=]\s{0,3}\\?["']?([\w.-]{1,60})\\?["']?,?\s{1,40}\\?["']?value\\?["']?\s{0,3}[:=]\s{0,3}\\?["']?(?:bearer |basic |token )?([^\s"'\\]{4,1024})/gi,
    is: isNamed,
  },
  {
    kind: 'secret',
    words: ['"value":"'],
    pattern: /"(?:name|key|header)":"([\w.-]{1,60})","value":"(?:bearer |basic |token )?([^\s"\\]{4,1024})"/gi,
    is: isNamed,
  },
  {
    kind: 'password',
    words: ['IDENTIFIED', 'identified'],
    pattern: /\bidentified\s{1,4}(?:with\s{1,4}\S{1,60}\s{1,4})?by\s{1,4}["']([^"'\n]{3,256})["']/gi,
    is: (value) => isPassword(value, 'quoted'),
  },
  {
    kind: 'jwk',
    words: ['"kty"', '\\"kty\\"'],
    pattern: /"(?:d|p|q|dp|dq|qi|k)\\?"\s{0,4}:\s{0,4}\\?"([\w-]{16,2000})\\?"/g,
    is: (value) => entropyOf(value.slice(0, 64)) > 2.5,
  },
  {
    kind: 'private-key',
    words: ['Private-Lines:'],
    pattern: /Private-Lines: \d{1,4}\s{1,4}((?:[A-Za-z0-9+/=]{1,80}\s{0,4}){1,200})/g,
    is: (value) => value.length >= 40,
  },
  {
    kind: 'private-key',
    words: ['---- BEGIN SSH2 ENCRYPTED', '-----BEGIN OpenVPN Static key'],
    pattern: /-{4,5} ?BEGIN (?:SSH2 ENCRYPTED PRIVATE KEY|OpenVPN Static key V1) ?-{4,5}((?:\s{0,4}[^\s-][^\n-]{0,100}){1,200})/g,
    is: (value) => value.length >= 40,
  },
];

export function placedSecrets(text: string, found: Span[]): boolean {
  let looked = false;
  for (const place of places) {
    if (!place.words.some((word) => text.includes(word))) continue;
    looked = true;
    for (const match of text.matchAll(place.pattern)) {
      const value = match.at(-1)!;
      const from = match.index + match[0].lastIndexOf(value);
      if (place.is(value, match[1]!)) found.push({ from, to: from + value.length, kind: place.kind, exact: true });
    }
    if (place.kind === 'cookie') furtherCookies(text, place, found);
  }
  return looked;
}

/** `Cookie: a=1; b=2`: those behind the first, in the same line. */
function furtherCookies(text: string, { kind, is }: Place, found: Span[]): void {
  const line = /(?:^|[^\w-])cookie["']?\s{0,3}[:=]\s{0,3}["']?([^\r\n"']{1,8192})/gi;
  for (const match of text.matchAll(line)) {
    const start = match.index + match[0].length - match[1]!.length;
    for (const pair of match[1]!.matchAll(/;\s{0,3}([^\s=;]{1,100})=([^\s;,]{6,4096})/g)) {
      const value = pair[2]!;
      const from = start + pair.index + pair[0].length - value.length;
      if (is(value, pair[1]!)) found.push({ from, to: from + value.length, kind });
    }
  }
}
