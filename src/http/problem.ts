// Problem types (RFC 9457): status, title, and what a client can do. The page /docs/problems and the OpenAPI document are generated from
// this table.

export const problems = {
  'malformed-json': [400, 'The body is not valid JSON', 'Send one JSON value in UTF-8.'],
  'impossible-text': [
    400,
    'The request contains text or a number that cannot be stored',
    'Remove the values that `errors` lists: U+0000, half of a surrogate pair, invalid UTF-8, a number that a double cannot represent, a repeated field, the field name `__proto__`, or nesting beyond the limit.',
  ],
  'malformed-request': [400, 'The request is malformed', 'Correct the URL, the headers or the length of the body.'],
  unauthenticated: [
    401,
    'A valid credential is required',
    'Log in again, refresh the token, or use another API key. `WWW-Authenticate` lists the accepted schemes.',
  ],
  forbidden: [
    403,
    'The credential does not permit the request',
    'Use a credential of the right tenant with the scope, role, channel or subject that the detail names.',
  ],
  'not-found': [
    404,
    'The resource does not exist',
    'Check the id. The answer is the same if the resource belongs to another tenant or you may not see it.',
  ],
  'method-not-allowed': [405, 'The path does not support this method', 'Use one of the methods in `Allow`.'],
  'not-acceptable': [406, 'The media type is not available', 'Request a media type that the OpenAPI document lists.'],
  timeout: [408, 'The request did not arrive in time', 'Send it again over a faster connection, or send less.'],
  conflict: [
    409,
    'The request conflicts with the current state',
    'Read the current state. If an Idempotency-Key was reused with another body, use a new key or send the original body.',
  ],
  'lease-held': [
    409,
    'The lease is held',
    'Try again after `expires_at`, or wait with `wait_ms`. `owner` has the lease, or is the first that waits for it.',
  ],
  gone: [410, 'The data is no longer stored', 'Start from data that still exists, such as `oldest_seq`.'],
  unreadable: [
    410,
    'The stored row is corrupt',
    'Notify the operator: the row contains a value that the service never writes. `GET /v1/consistency` lists it.',
  ],
  'precondition-failed': [412, 'The version has changed', 'Read the resource again and repeat the change with its new ETag.'],
  'stale-lease': [
    412,
    'The lease is no longer held with this token',
    'Stop the work that the lease protects: another owner may hold it. Acquire it again for a new token.',
  ],
  'too-large': [413, 'The request is too large', 'Send smaller requests.'],
  'quota-exceeded': [
    413,
    'The storage quota of the tenant is exhausted',
    'Ask the operator for a larger quota; reads still work.',
  ],
  'unsupported-media-type': [415, 'The body has the wrong media type', 'Send JSON bodies uncompressed as `application/json`.'],
  'range-not-satisfiable': [416, 'The range is not satisfiable', 'Request bytes within the size in `Content-Range`.'],
  misdirected: [421, 'The host name is not served here', 'Use the host name that the operator configured.'],
  validation: [
    422,
    'The request has invalid fields',
    'Correct every field that `errors` lists. Unknown fields are rejected too.',
  ],
  'rate-limited': [429, 'Too many requests', 'Wait for the number of seconds in `Retry-After`.'],
  'headers-too-large': [431, 'The headers are too large', 'Send fewer or shorter headers.'],
  region: [451, 'Not available in this region', 'Use the service in the region of the tenant.'],
  internal: [500, 'Internal error', 'Try again later, and send the `request_id` to the operator.'],
  unavailable: [
    503,
    'The service is temporarily unavailable',
    'The service is starting or overloaded, its database is not available, or the request took longer than the time limit. Try again after `Retry-After` seconds; repeat writes with the same Idempotency-Key.',
  ],
  'no-answer': [
    504,
    'The service did not answer in time',
    'The request may have been processed. Check the current state before you send it again. A write with an Idempotency-Key is safe to repeat.',
  ],
  'storage-full': [507, 'The storage is full', 'Ask the operator to free or add storage; reads still work.'],
} as const satisfies Record<string, readonly [number, string, string]>;

export type ProblemType = keyof typeof problems;

/** An invalid field: a JSON pointer into the body, or the name of a parameter. */
export interface FieldError {
  pointer?: string;
  parameter?: string;
  detail: string;
}

export class Problem extends Error {
  readonly type: ProblemType;
  readonly status: number;
  readonly errors: FieldError[] | undefined;
  readonly headers: Record<string, string>;
  /** Additional members of the document, such as `oldest_seq`. */
  readonly members: Record<string, unknown>;

  constructor(
    type: ProblemType,
    detail: string,
    more: { errors?: FieldError[]; headers?: Record<string, string>; members?: Record<string, unknown>; cause?: unknown } = {},
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

/** Returns the problem document. */
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
/** The members of the problem, which the functions of this service pass as JSON in DETAIL. */
const membersOf = (cause: unknown): Record<string, unknown> => JSON.parse((cause as { detail?: string }).detail ?? '{}');

// SQLSTATE, or its class → problem. Any other code is a bug: 500, without its text.
const bySqlState: Record<string, (cause: unknown, conflicts: ConflictMessages) => Problem> = {
  // raised by the functions of this service; their messages are written for clients
  AM403: (cause) => new Problem('forbidden', sentence(cause), { cause, members: membersOf(cause) }),
  AM404: (cause) => new Problem('not-found', sentence(cause), { cause, members: membersOf(cause) }),
  AM409: (cause) => new Problem('conflict', sentence(cause), { cause, members: membersOf(cause) }),
  AM410: (cause) => new Problem('gone', sentence(cause), { cause, members: membersOf(cause) }),
  AM412: (cause) => new Problem('precondition-failed', sentence(cause), { cause, members: membersOf(cause) }),
  AM413: (cause) => new Problem('too-large', sentence(cause), { cause, members: membersOf(cause) }),
  AM422: (cause) => new Problem('validation', sentence(cause), { cause, members: membersOf(cause) }),
  AM429: (cause) => {
    const members = membersOf(cause);
    const seconds = Math.ceil(Number(members.retry_after_ms) / 1000);
    return new Problem('rate-limited', sentence(cause), { cause, members, headers: { 'Retry-After': String(seconds) } });
  },
  AM503: (cause) => unavailable(sentence(cause))(cause),
  AMFEN: (cause) => new Problem('stale-lease', sentence(cause), { cause }),
  AMHLD: (cause) => new Problem('lease-held', sentence(cause), { cause, members: membersOf(cause) }),
  23505: (cause, conflicts) =>
    new Problem('conflict', conflicts[String((cause as { constraint?: unknown }).constraint)] ?? 'The resource already exists.', {
      cause,
    }),
  23503: (cause) => new Problem('conflict', 'The request refers to something that does not exist.', { cause }),
  23514: (cause) => new Problem('validation', 'A value violates a constraint of the database.', { cause }),
  22: (cause) => new Problem('validation', 'A value cannot be stored.', { cause }),
  54: (cause) => new Problem('too-large', 'A value is too large for an index.', { cause }),
  40: unavailable('The request conflicted with a concurrent one; try again.'),
  '55P03': unavailable('The data is locked by another request; try again.'),
  '57014': unavailable('The database did not finish in time.'),
  57: unavailable('The database is restarting.'),
  53100: (cause) => new Problem('storage-full', 'The database has no space left; reads still work.', { ...retryLater, cause }),
  58: unavailable('The database cannot reach its storage.'),
  53: unavailable('The database is out of resources.'),
  '08': unavailable('The database cannot be reached.'),
  '25006': unavailable('The database is read-only at the moment.'),
  '25P02': unavailable('The transaction was rolled back; try again.'),
  '25P03': unavailable('The transaction took too long; try again.'),
  '28': unavailable('The database rejected the credentials of the service.'),
  '3D000': unavailable('The database does not exist.'),
  unreadable_row: (cause) => new Problem('unreadable', sentence(cause), { cause }),
  unconfirmed_restore: unavailable('The database was restored, and the erasures since its backup have not been replayed yet.'),
  pool_share: (cause) =>
    new Problem('rate-limited', 'Too many requests of this tenant are waiting for the database (PGPOOL_QUEUE).', {
      ...retryLater,
      cause,
    }),
  pool_saturated: unavailable('Too many requests are waiting for the database.'),
  write_queue_full: unavailable('Too many writes are waiting for the database.'),
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
// Errors of the pg client itself have no code.
const connectionMessages =
  /connection terminated|timeout exceeded when trying to connect|query read timeout|client has encountered a connection error|not queryable|cannot use a pool after/i;

/** Problem details for violated unique constraints, by constraint name. */
export type ConflictMessages = Record<string, string>;

/** Converts any thrown value to a problem. A 5xx never contains the message of an error. */
export function toProblem(error: unknown, conflicts: ConflictMessages = {}): Problem {
  if (error instanceof Problem) return error;
  const { code, message } = (error ?? {}) as { code?: unknown; message?: string };
  if (typeof code === 'string') {
    const known = [code, ...(code.length === 5 ? [code.slice(0, 2)] : [])].find((key) => Object.hasOwn(bySqlState, key));
    if (known) return bySqlState[known]!(error, conflicts);
    if (connectionCodes.has(code)) return unavailable('The database cannot be reached.')(error);
  }
  if (connectionMessages.test(message ?? '')) return unavailable('The database did not answer.')(error);
  return new Problem('internal', 'Internal error; the log of the service has an entry with this request id.', { cause: error });
}
