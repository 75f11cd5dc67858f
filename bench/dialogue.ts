// The messages that all parts write: eight messages of 60 words, each with a placeholder for a unique number.

const words = `we decided to keep the counter in a row of its own because a sequence leaves gaps when a transaction fails and
a follower cannot tell a gap from a commit that is late so the batch takes the lock once writes all units in order and lets go
before the client hears of it the planner asked whether sqlite would do for the first version and alice answered that backups
locks and replicas are solved in postgres already then the build broke on friday since the index was missing in staging and
nobody had run the migration there yesterday bob measured the new door at twice the speed of the old one`.split(/\s+/);

const TEMPLATES = 8;
const WORDS = 60;
/** Replaced by a number that is unique to each request. */
export const MARK = '@@@@@@@@@@@@';

export const messages = Array.from({ length: TEMPLATES }, (_, i) => ({
  session_id: `session-${i}`,
  channel: 'team',
  actor: { type: 'human', id: 'alice' },
  kind: 'message',
  content: { text: `${Array.from({ length: WORDS }, (_, n) => words[(i * 13 + n * (i + 3)) % words.length]).join(' ')} ${MARK}` },
  tags: ['topic:storage'],
}));
