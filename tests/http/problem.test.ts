import { Problem, problemBody, problems, toProblem } from '../../src/http/problem.ts';

const thrown = (code: string) => Object.assign(new Error('secret text of a row'), { code, severity: 'ERROR' });

test.each([
  ['AM404', 'not-found'],
  ['23505', 'conflict'],
  ['23503', 'conflict'],
  ['23514', 'validation'],
  ['22P05', 'validation'],
  ['22003', 'validation'],
  ['54000', 'too-large'],
  ['40001', 'unavailable'],
  ['40P01', 'unavailable'],
  ['55P03', 'unavailable'],
  ['57014', 'unavailable'],
  ['57P01', 'unavailable'],
  ['53300', 'unavailable'],
  ['53100', 'storage-full'],
  ['08006', 'unavailable'],
  ['25006', 'unavailable'],
  ['25P02', 'unavailable'],
  ['28P01', 'unavailable'],
  ['3D000', 'unavailable'],
  ['ECONNREFUSED', 'unavailable'],
  ['58030', 'unavailable'],
  ['ECONNRESET', 'unavailable'],
  ['ENETUNREACH', 'unavailable'],
  ['ECONNABORTED', 'unavailable'],
  ['pool_saturated', 'unavailable'],
  ['pool_share', 'rate-limited'],
  ['write_queue_full', 'unavailable'],
  // bugs of the service are not the client's fault
  ['42601', 'internal'],
  ['42501', 'internal'],
  ['42P01', 'internal'],
  ['XX000', 'internal'],
  ['23502', 'internal'],
] as const)('an error %s of the database is answered %s, without its text', (code, type) => {
  const problem = toProblem(thrown(code));
  expect(problem.type).toBe(type);
  expect(JSON.stringify(problemBody(problem, 'r1'))).not.toContain('secret');
  if (problem.status === 503 || problem.status === 507) expect(problem.headers['Retry-After']).toMatch(/^\d+$/);
});

test.each([
  'Connection terminated unexpectedly',
  'timeout exceeded when trying to connect',
  'Query read timeout',
  'Client has encountered a connection error and is not queryable',
])('the pg error "%s" means that the database is unavailable', (message) => {
  expect(toProblem(new Error(message)).type).toBe('unavailable');
});

test.each([[undefined], [null], ['text'], [0], [{ code: 42 }], [{ code: 'constructor' }], [new TypeError('secret')]])(
  'any other thrown value (%p) is a 500 without details',
  (error) => {
    const problem = toProblem(error);
    expect(problem.type).toBe('internal');
    expect(problem.message).not.toContain('secret');
  },
);

test('a problem document has the members of RFC 9457 and its extensions', () => {
  const problem = new Problem('gone', 'The log begins at 7.', { members: { oldest_seq: 7 } });
  expect(problemBody(problem, 'r1')).toEqual({
    type: '/docs/problems#gone',
    title: 'The data is no longer stored',
    status: 410,
    detail: 'The log begins at 7.',
    request_id: 'r1',
    oldest_seq: 7,
  });
});

test('every type has a status, a title and advice', () => {
  for (const [status, title, advice] of Object.values(problems)) {
    expect(status).toBeGreaterThanOrEqual(400);
    expect(title.length * advice.length).toBeGreaterThan(0);
  }
});
