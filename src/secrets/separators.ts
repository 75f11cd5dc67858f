// Separators between a name that announces a secret and its value: `password = `, `"api_key": `, "password for the server is now ".

/** The end of the name: a quote (plain, escaped or an HTML entity), Markdown emphasis, a bracket. */
const CLOSE = String.raw`(?:\\{0,3}["'\x60*_]{0,3}\]?|&quot;)`;

/** The purpose of the secret: " for the server". */
const PREPOSITIONS = [
  'for|to|of|on|at|in',
  'für|zum|zur|vom|von|des|der|im|am|bei',
  'pour|para|del?|d[eo]l?s?|d[ua]',
  'от|для|від',
  'voor|van|till|för',
].join('|');
const WHAT_FOR = String.raw`(?:\s+(?:${PREPOSITIONS})\s(?:['"][^'"\n]{1,60}['"]|[^.:=\n]{1,60}?))?`;

const SIGNS = [
  // Makefile
  String.raw`\?=`,
  // `: &'static str =`, a type between the name and its value
  String.raw`:\s{0,4}&?(?:'static )?[A-Za-z][\w<>|[\]]{0,30}\??\s{0,4}=(?!=)`,
  ':=|=>|={2,3}|=|[-–]>|→|：|:',
  // a dash between spaces, a column of a table
  String.raw`\s[-–—]\s`,
  String.raw`(?<=[ \t])\|(?=[ \t])`,
  // `'password', 'value'` and `PASSWORD('value')`
  String.raw`,(?=\s{0,20}["'])`,
  String.raw`(?<=\bPASSWORD)\((?=['"])`,
].join('|');

const IS = 'is|was|are|ist|war|es|est|era|é|è|är|er|to|jest|là|este|είναι|adalah|היא|הוא|это';
const NOW = 'now|still|just|set to|jetzt|nun|ahora|maintenant|agora';
/** "password is now", "the key which was". */
const VERBS = String.raw`(?:(?:it|that|which|this|ese)\s)?(?:${IS})(?:\s(?:${NOW}))?|set to|lautet|это|—|–`;

/** The start of a following sentence: "I changed the password. It's". */
const ITS = ["(?:it|that|this|which|he)['’]s", '(?:it|that|this|which) (?:is|was)', "c['’]est", 'es ist|er lautet'].join('|');

const CJK_IS = '是|为|為|は|を|는|은';

/** Matches a separator at the end of a name. The group that matched is its type: `sign`, or the words `verb`, `its` or `cjk`. */
export const separators = new RegExp(
  [
    CLOSE,
    WHAT_FOR,
    String.raw`\s{0,20}`,
    '(?:',
    [
      `(?<sign>${SIGNS})`,
      String.raw`(?<=\s)(?<verb>${VERBS})(?=[\s:])\s?:?`,
      String.raw`[?.,;:]?\s[(]?(?<its>${ITS})\s`,
      String.raw`(?<cjk>${CJK_IS})\s?[:：]?`,
    ].join('|'),
    ')',
    String.raw`[*_]{0,3}\s{0,20}`,
  ].join(''),
  'uy',
);
