import type { KeywordRule } from './keyword_rule.ts';
import { looksRandom, looksRandomToken } from './randomness.ts';
import { classifyName } from './secret_names.ts';
import { isJumbled, isPlaceholder } from './shapes.ts';
import { isCommandLineValue, isPassword } from './value.ts';

// Rules for secrets that programs read from a command line or a prompt, and for those that they print. The flags are documented in the manual of
// each program.

const isProsePassword = (value: string): boolean => isPassword(value, 'prose') || looksRandom(value);

/** Programs, and the flag of each whose value is a password. */
const flags: [programs: string, flags: string, keywords: string[]][] = [
  [
    '(?:docker|podman|nerdctl|buildah|skopeo|oras|crane) login|helm registry login|az login|twine upload|mongo(?:sh|dump|restore|export|import)|cqlsh|cypher-shell|rabbitmqadmin',
    'p',
    [
      'docker login',
      'podman login',
      'registry login',
      'ah login',
      'oras login',
      'az login',
      'twine upload',
      'mongo',
      'cqlsh',
      'cypher-shell',
      'rabbitmqadmin',
      'ctl login',
    ],
  ],
  ['(?:redis|valkey|keydb)-cli', 'a', ['-cli']],
  ['ldap[a-z]{1,12}', 'w', ['ldap']],
  ['sqlcmd|bcp|isql|tsql|(?:un)?zip', 'P', ['sqlcmd', 'bcp ', 'isql', 'tsql', 'zip ']],
  ['openssl enc', 'k', ['openssl enc']],
  ['ssh-keygen', '[NP]', ['ssh-keygen']],
  ['snmp[a-z]{1,12}', '[AX]', ['snmp']],
];
const otherArguments = String.raw`\s(?:[^\n|&;]{0,200}?\s)?`;

const flagRules: KeywordRule[] = flags.map(([programs, flag, keywords]) => ({
  kind: 'password',
  keywords,
  pattern: new RegExp(String.raw`\b(?:${programs})${otherArguments}-${flag}[ =]{1,3}["']?([^\s"']{4,200})`, 'g'),
  isSecret: isCommandLineValue,
}));

export const commandRules: KeywordRule[] = [
  ...flagRules,
  {
    kind: 'password',
    keywords: ['mysql', 'mariadb'],
    pattern: /\b(?:mysql|mariadb)[a-z-]{0,12}\s(?:[^\n|&;]{0,200}?\s)?-p["']?([^\s"']{4,200})/g,
    isSecret: isCommandLineValue,
  },
  {
    kind: 'password',
    keywords: ['-u ', '-U ', '-user ', 'sername ', '-login '],
    pattern:
      /(?:^|\s)(?:-[uUl]|--?(?:user|username|login))[ =]\S{1,100}\s(?:[^\n|&;]{0,100}?\s)?-[pPw]\s{0,2}["']?([^\s"']{4,200})/g,
    isSecret: (value) => isCommandLineValue(value) && /\p{L}/u.test(value) && !value.includes(':'),
  },
  {
    kind: 'password',
    keywords: ['add_user ', 'change_password ', 'add-user ', 'adduser ', 'http-basic.'],
    pattern:
      /\b(?:add[_-]?user|change_password|http-basic\.\S{1,100})\s(?:-\S{1,20}\s){0,3}[\w.@-]{1,64}\s["']?([^\s"']{4,200})/g,
    isSecret: isProsePassword,
  },
  {
    kind: 'password',
    keywords: ['lftp', 'ncftp'],
    pattern: /\bn?c?lftp\s[^\n]{0,60}?-u\s{0,2}["']?[\w.@-]{1,64},([^\s"']{4,200})/g,
    isSecret: isCommandLineValue,
  },
  {
    kind: 'password',
    keywords: ['http ', 'https ', 'xh '],
    pattern: /\b(?:https?|xh)\s[^\n]{0,100}?(?:-a|--auth)[ =]["']?[\w.@-]{1,64}:([^\s"']{4,200})/g,
    isSecret: isCommandLineValue,
  },
  {
    kind: 'password',
    keywords: ['htpasswd -'],
    pattern: /\bhtpasswd\s+-\w{0,5}b\w{0,5}\s{1,3}\S{1,200}\s{1,3}\S{1,64}\s{1,3}["']?([^\s"']{4,200})/g,
    isSecret: isCommandLineValue,
  },
  {
    kind: 'password',
    keywords: ['7z ', '7za ', '7zr ', 'rar '],
    pattern: /\b(?:7z[a-z]?|(?:un)?rar)\s(?:[^\n|&;]{0,200}?\s)?-p["']?([^\s"']{4,200})/g,
    isSecret: isCommandLineValue,
  },
  {
    kind: 'password',
    keywords: ['pass:'],
    pattern: /-pass(?:in|out)?\s{1,3}["']?pass:([^\s"']{4,200})/g,
    isSecret: isCommandLineValue,
  },
  {
    kind: 'password',
    keywords: ['echo ', 'printf '],
    pattern:
      /\b(?:echo|printf)\s(?:-n\s)?["']?([^\s"'|]{4,200}?)(?:\\n)?["']?\s?\|\s?(?:sudo\s-\w{0,3}S|[\w./-]{1,40}\s(?:[\w-]{1,20}\s)?login|passwd|gpg|openssl|kinit|cryptsetup|su\b|ssh-add|htpasswd)/g,
    isSecret: isCommandLineValue,
  },
  {
    kind: 'password',
    keywords: ['chpasswd'],
    pattern: /["']?[\w.-]{1,64}:([^\s"'|]{4,200})["']?\s?(?:\|\s?(?:sudo\s)?chpasswd|>>?\s)/g,
    isSecret: isCommandLineValue,
  },
  {
    kind: 'password',
    keywords: ['<<<'],
    pattern: /(?:secret|passw|token|login|key|kinit|crypt|sudo|gpg)[^\n<]{0,80}<<<\s{0,2}["']?([^\s"']{4,200})/gi,
    isSecret: isCommandLineValue,
  },
  {
    kind: 'password',
    keywords: ['secret set', 'secrets set', 'secret add'],
    pattern: /\bsecrets? (?:set|add)\s[^\n]{0,120}?(?:--body|--value|-b)[ =]{1,3}["']?([^\s"']{4,1024})/g,
    isSecret: isCommandLineValue,
  },
  {
    kind: 'password',
    keywords: ['net use', 'net USE'],
    pattern: /\bnet use(?:r\s[\w.-]{1,64}|\s[^\n]{1,100}?\\\S{1,100})\s["']?([^\s"'/*]{4,200})["']?\s/gi,
    isSecret: isProsePassword,
  },
  {
    kind: 'password',
    keywords: ['freerdp', 'desktop', 'mstsc', 'signtool', 'cmdkey', ' /u:'],
    pattern:
      /(?:\b(?:[xws]?d?l?-?freerdp3?|rdesktop|signtool)|\s\/u(?:ser)?:\S{1,64})\s(?:[^\n]{0,200}?\s)?(?:\/p(?:ass|assword)?[: ]|-p\s)["']?([^\s"']{4,200})/g,
    isSecret: isCommandLineValue,
  },
  {
    kind: 'password',
    keywords: ['smb', 'rpcclient', 'net rpc'],
    pattern:
      /\b(?:smb[a-z]{1,10}|rpcclient|net rpc)\s(?:[^\n]{0,200}?\s)?(?:-U|--user)[ =]?["']?[\w.\\/-]{1,64}%([^\s"']{4,200})/g,
    isSecret: isCommandLineValue,
  },
  {
    kind: 'password',
    keywords: ['wpa_passphrase'],
    pattern: /\bwpa_passphrase\s["']?[\w.-]{1,32}["']?\s["']?([^\s"']{8,63})/g,
    isSecret: isCommandLineValue,
  },
  {
    kind: 'password',
    keywords: ['sqlplus', 'impdp', 'expdp'],
    pattern: /\b(?:sqlplus|impdp|expdp|rman target)\s(?:-\w{1,10}\s){0,3}["']?[\w$#]{1,64}\/([^@\s"']{3,128})@/g,
    isSecret: (value) => !isPlaceholder(value),
  },
  {
    kind: 'token',
    keywords: ['login ', 'auth ', 'authtoken ', 'init '],
    pattern: /\b(?:login|auth|(?:add-)?authtoken|auth init)\s(?:-t\s|--(?:access-)?token[ =])?["']?([\w.~+/=-]{16,400})/g,
    isSecret: looksRandomToken,
  },
  { kind: 'token', keywords: ['snyk auth'], pattern: /\bsnyk auth\s([\da-f-]{36})/g, isSecret: () => true },
  {
    kind: 'password',
    keywords: ['\nPASS ', 'USER '],
    pattern: /\bUSER\s\S{1,64}(?:\r?\n[^\n]{0,200}){0,2}?\r?\n(?:[^\n]{0,20}\s)?PASS\s(\S{4,200})/g,
    isSecret: isCommandLineValue,
  },
  {
    kind: 'password',
    keywords: ['AUTH ', 'LOGIN ', 'IDENTIFY ', ' on >'],
    pattern:
      /(?:^|[>\s])(?:AUTH(?:[ \t](?!PLAIN|LOGIN|CRAM|NTLM|XOAUTH)[\w.-]{1,40})?|LOGIN[ \t]["']?[\w.@-]{1,80}["']?|IDENTIFY(?:[ \t][\w-]{1,30})?|(?:user|USER|SETUSER)[ \t]\S{1,64}[ \t]on)[ \t]["'>]?([^\s"']{6,200})/gm,
    isSecret: looksRandom,
  },
  {
    kind: 'basic-auth',
    keywords: ['AUTH PLAIN'],
    pattern: /\bAUTH PLAIN ([A-Za-z0-9+/]{8,400}={0,2})/g,
    isSecret: (value) => Buffer.from(value, 'base64').toString('latin1').split('\0').length === 3,
  },
  {
    kind: 'password',
    keywords: ['assword ', 'secret '],
    pattern: /\b(?:password|secret) [05789] (\S{6,200})/g,
    isSecret: (value) => isProsePassword(value) || /^\$\w{1,8}\$/.test(value),
  },
  {
    kind: 'password',
    keywords: ['snmp-server community'],
    pattern: /\bsnmp-server community (\S{4,64})/g,
    isSecret: isProsePassword,
  },
  {
    kind: 'password-hash',
    keywords: [':$1', ':$2', ':$5', ':$6', ':$7', ':$y', ':$a', ':$g', ':{SHA', ':{SSHA'],
    pattern:
      /^(?:[^\n:]{0,60}[\s>])?[\w.@-]{1,64}:(\$(?:apr1|[1-7]|2[abxy]|y|gy|argon2\w{1,3})\$[^\s:"']{8,250}|\{S?SHA\d{0,3}\}[\w+/=]{20,140})/gm,
    isSecret: () => true,
  },
  {
    kind: 'password',
    keywords: [
      'op read',
      'pass ',
      'secret-tool',
      'openssl rand',
      'pwgen',
      'auth ',
      'security find',
      'vault ',
      'create token',
      'base64 -',
      'get-login',
      'get-secret',
    ],
    pattern:
      /^[^\n]{0,60}?[$#>%]\s(?:op read|pass (?:show )?\w|secret-tool lookup|openssl rand|pwgen|gh auth token|gcloud auth print|aws (?:ecr get-login|secretsmanager get-secret)|security find-|vault (?:kv get|read) -field|kubectl create token|kubectl [^\n]{0,200}(?:secret|passw|token)[^\n]{0,200}base64 -)[^\n]{0,200}\n(\S{8,4096})$/gm,
    isSecret: (value) =>
      isProsePassword(value) || looksRandomToken(value) || (/^[A-Za-z0-9+/]{20,400}={0,2}$/.test(value) && isJumbled(value)),
  },
  {
    kind: 'password',
    keywords: ['ollowing', 'elow', 'enerat'],
    pattern:
      /\b(?:password|token|secret|key|passwort|contraseña|mot de passe)\b[^\n]{0,80}:[ \t]{0,10}\r?\n(?:[ \t]{0,10}\r?\n)?[ \t]{0,20}(\S{8,400})[ \t]{0,10}$/gim,
    isSecret: (value) => isProsePassword(value) || looksRandomToken(value),
  },
  {
    kind: 'password',
    keywords: ['emporary password'],
    pattern: /\btemporary password (?:is generated )?for [^\s:]{1,80}: (\S{4,100})/gi,
    isSecret: isCommandLineValue,
  },
  {
    kind: 'password',
    keywords: ['Unseal Key', 'Recovery Key'],
    pattern: /\b(?:Unseal|Recovery) Key \d{1,2}: ([\w+/=]{20,100})/g,
    isSecret: () => true,
  },
  {
    kind: 'secret',
    keywords: ['setenv(', 'Setenv(', 'putenv(', 'etEnvironmentVariable(', 'setdefault(', 'etProperty(', 'set_var('],
    pattern:
      /\b(?:[sS]etenv|putenv|SetEnvironmentVariable|setdefault|[sS]etProperty|set_var)\(\s?["']([\w.-]{1,60})["'],\s?["']([^"'\n]{4,1024})["']/g,
    isSecret: (value, name) =>
      classifyName(name)?.form === 'password'
        ? isPassword(value, 'quoted')
        : /key|token|secret/i.test(name) && looksRandomToken(value),
  },
];
