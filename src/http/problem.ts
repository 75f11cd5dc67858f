// RFC 9457. Every refusal of the service is one of these: status, title, and what a client can do. The page /docs/problems and
// the document are made from this table.

export const problems = {
  'malformed-json': [400, 'The body is not JSON', 'Send one JSON value in UTF-8.'],
  'impossible-text': [
    400,
    'The body holds text or a number that cannot be kept',
    'Take out what `errors` points at: U+0000, half of a surrogate pair, bytes that are not UTF-8, a number that a double cannot hold, a repeated member name, the key `__proto__`, or nesting beyond the limit.',
  ],
  'malformed-request': [400, 'The request cannot be read', 'Correct the URL, the headers or the length of the body.'],
  unauthenticated: [
    401,
    'A valid credential is required',
    'Log in again, refresh the token, or send another key. `WWW-Authenticate` says which schemes are taken.',
  ],
  forbidden: [
    403,
    'The credential does not allow this',
    'Use a credential with the scope, role, channel or subject that is named, of the tenant that is meant.',
  ],
  'not-found': [
    404,
    'There is no such thing',
    'Check the id. What belongs to another tenant, or may not be seen, is answered in the same way.',
  ],
  'method-not-allowed': [405, 'The path has no such method', 'Use one of the methods in `Allow`.'],
  'not-acceptable': [406, 'The answer has no such media type', 'Ask for a media type that the document lists.'],
  timeout: [408, 'The request did not arrive in time', 'Send it again, faster.'],
  conflict: [
    409,
    'The request conflicts with what is there',
    'Read what is there. For an Idempotency-Key: use a new key, or repeat the same body.',
  ],
  gone: [410, 'This is no longer kept', 'Begin again from what is still kept, such as `oldest_seq`.'],
  unreadable: [
    410,
    'The stored row cannot be read',
    'Tell the operator: the row holds a value that the service never writes. `GET /v1/consistency` names it.',
  ],
  'precondition-failed': [412, 'The thing has another version', 'Read the thing again and repeat the change with its new ETag.'],
  'too-large': [413, 'The request is too large', 'Send less at once.'],
  'quota-exceeded': [413, 'The tenant has used all of its storage', 'Ask the operator for a larger quota; reading still works.'],
  'unsupported-media-type': [
    415,
    'The body has the wrong media type',
    'Send `application/json`, uncompressed, where a JSON body is taken.',
  ],
  'range-not-satisfiable': [416, 'The range lies outside the bytes', 'Ask for bytes within the size that `Content-Range` tells.'],
  misdirected: [421, 'The host is not served here', 'Use the name that the operator gave to the service.'],
  validation: [
    422,
    'The request breaks the rules of its fields',
    'Correct every field that `errors` lists; fields that are not known are refused too.',
  ],
  'rate-limited': [429, 'Too many requests', 'Wait as long as `Retry-After` says.'],
  'headers-too-large': [431, 'The headers are too large', 'Send fewer or shorter headers.'],
  region: [451, 'Not available in this region', 'Use the service of the region that the tenant belongs to.'],
  internal: [500, 'The service failed', 'Try again later; tell the operator the `request_id`.'],
  unavailable: [503, 'The service cannot answer now', 'Try again after `Retry-After`; writes with their Idempotency-Key.'],
  'no-answer': [
    504,
    'No answer arrived in time',
    'The request may have been carried out. Read what is there before you send it again; a write with an Idempotency-Key can be sent again as it is.',
  ],
  'storage-full': [507, 'The storage is full', 'Ask the operator for space; reading still works.'],
} as const satisfies Record<string, readonly [number, string, string]>;

export type ProblemType = keyof typeof problems;

/** Where a request is wrong: a JSON pointer into the body, or the name of a parameter. */
export interface Fault {
  pointer?: string;
  parameter?: string;
  detail: string;
}

export class Problem extends Error {
  readonly type: ProblemType;
  readonly status: number;
  readonly errors: Fault[] | undefined;
  readonly headers: Record<string, string>;
  /** Further members of the document, such as `oldest_seq`. */
  readonly members: Record<string, unknown>;

  constructor(
    type: ProblemType,
    detail: string,
    more: { errors?: Fault[]; headers?: Record<string, string>; members?: Record<string, unknown>; cause?: unknown } = {},
  ) {
    super(detail, { cause: more.cause });
    this.name = 'Problem';
    this.type = type;
    this.status = problems[type][0];
    this.errors = more.errors;
    this.headers = more.headers ?? {};
    this.members = more.members ?? {};
  }
}

export const problemType = (type: ProblemType): string => `/docs/problems#${type}`;

/** The document of the answer. */
export function problemBody(problem: Problem, request_id: string) {
  return {
    type: problemType(problem.type),
    title: problems[problem.type][1],
    status: problem.status,
    detail: problem.message,
    request_id,
    ...(problem.errors && { errors: problem.errors }),
    ...problem.members,
  };
}

const retryLater = { headers: { 'Retry-After': '1' } };
const unavailable = (detail: string) => (cause: unknown) => new Problem('unavailable', detail, { ...retryLater, cause });
const sentence = (cause: unknown) =>
  (cause as Error).message.replace(/^./, (first) => first.toUpperCase()).replace(/[^.]$/, '$&.');

// SQLSTATE (or its class) → problem. What is not here is a fault of ours: 500, without a text.
const bySqlState: Record<string, (cause: unknown, conflicts: Conflicts) => Problem> = {
  // raised by our own functions, whose texts are written for clients
  AM403: (cause) => new Problem('forbidden', sentence(cause), { cause }),
  AM404: (cause) => new Problem('not-found', sentence(cause), { cause }),
  AM409: (cause) => new Problem('conflict', sentence(cause), { cause }),
  AM412: (cause) => new Problem('precondition-failed', sentence(cause), { cause }),
  23505: (cause, conflicts) =>
    new Problem('conflict', conflicts[String((cause as { constraint?: unknown }).constraint)] ?? 'Such a thing exists already.', {
      cause,
    }),
  23503: (cause) => new Problem('conflict', 'It refers to something that does not exist.', { cause }),
  23514: (cause) => new Problem('validation', 'A value breaks a rule of the storage.', { cause }),
  22: (cause) => new Problem('validation', 'A value cannot be stored.', { cause }),
  54: (cause) => new Problem('too-large', 'A value is larger than the storage can index.', { cause }),
  40: unavailable('The request met a concurrent one; try again.'),
  '55P03': unavailable('The data is locked by another request; try again.'),
  '57014': unavailable('The database took too long.'),
  57: unavailable('The database is restarting.'),
  53100: (cause) => new Problem('storage-full', 'The database has no space left; reading still works.', { ...retryLater, cause }),
  58: unavailable('The database cannot reach its storage.'),
  53: unavailable('The database is out of resources.'),
  '08': unavailable('The database cannot be reached.'),
  '25006': unavailable('The database is read-only at the moment.'),
  '25P02': unavailable('The transaction was undone; try again.'),
  '25P03': unavailable('The transaction took too long; try again.'),
  '28': unavailable('The database refuses the service.'),
  '3D000': unavailable('The database does not exist.'),
  unreadable_row: (cause) => new Problem('unreadable', sentence(cause), { cause }),
  unconfirmed_restore: unavailable('The database was restored, and the erasures since its backup have not been replayed yet.'),
  pool_share: (cause) =>
    new Problem('rate-limited', 'Too many requests of this tenant wait for the database (PGPOOL_QUEUE).', {
      ...retryLater,
      cause,
    }),
  pool_saturated: unavailable('Too many requests wait for the database.'),
  write_queue_full: unavailable('Too many writes wait for the database.'),
};
const connectionCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ENOENT',
  'ENOTFOUND',
  'ETIMEDOUT',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ECONNABORTED',
]);
// pg gives its own failures no code.
const connectionWords =
  /connection terminated|timeout exceeded when trying to connect|query read timeout|client has encountered a connection error|not queryable|cannot use a pool after/i;

/** What a broken uniqueness means to a client, by the name of the constraint. */
export type Conflicts = Record<string, string>;

/** Any thrown value as a problem. A 5xx never carries the text of an error. */
export function toProblem(error: unknown, conflicts: Conflicts = {}): Problem {
  if (error instanceof Problem) return error;
  const { code, message } = (error ?? {}) as { code?: unknown; message?: string };
  if (typeof code === 'string') {
    const known = [code, ...(code.length === 5 ? [code.slice(0, 2)] : [])].find((key) => Object.hasOwn(bySqlState, key));
    if (known) return bySqlState[known]!(error, conflicts);
    if (connectionCodes.has(code)) return unavailable('The database cannot be reached.')(error);
  }
  if (connectionWords.test(message ?? '')) return unavailable('The database did not answer.')(error);
  return new Problem('internal', 'The service failed; the request id names the entry in its log.', { cause: error });
}
