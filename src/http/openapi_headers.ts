// The headers of requests in the OpenAPI document.

export const idempotencyKey = {
  name: 'Idempotency-Key',
  in: 'header',
  description: 'Makes a retry safe: a repeated key with the same body returns the first outcome (`Idempotent-Replay: true`).',
  schema: { type: 'string', minLength: 1, maxLength: 255, pattern: '^[\\x20-\\x7e]+$' },
};
export const leaseHeader = {
  name: 'Lease',
  in: 'header',
  description:
    '`<percent-encoded key>;token=<n>`: the write takes effect only while this lease is held with this token; otherwise the response is 412.',
  schema: { type: 'string' },
};
export const lastEventId = {
  name: 'Last-Event-ID',
  in: 'header',
  description: 'For a stream: the last seq received. Overrides `after`.',
  schema: { type: 'integer', minimum: 0 },
};
export const ifMatch = {
  name: 'If-Match',
  in: 'header',
  description: 'ETag of the version to change; if the version differs, the response is 412.',
  schema: { type: 'string' },
};
export const onlyNew = {
  name: 'If-None-Match',
  in: 'header',
  description: '`*`: fails with 412 if an equal resource exists.',
  schema: { const: '*' },
};
export const ifNoneMatch = {
  name: 'If-None-Match',
  in: 'header',
  description: 'ETags of the versions that the client has, or `*`; if the current version is among them, the response is 304.',
  schema: { type: 'string' },
};
export const range = { name: 'Range', in: 'header', description: 'A single byte range', schema: { type: 'string' } };
