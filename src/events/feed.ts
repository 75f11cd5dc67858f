import { onBehalf, visibilityIn } from '../auth/index.ts';
import type { Feed, Message } from '../follow/index.ts';
import type { ListQuery } from './schemas.ts';
import { type Entry, listEvents } from './sql.ts';

/** The events that a query of the list matches. */
export const eventFeed = (query: ListQuery): Feed => ({
  key: ['events', query],
  filtered: query.filter !== undefined,
  visibilityOf: (caller) => visibilityIn(onBehalf(caller, query).principal, query.channel),
  read: async (db, tenant, visibility, range) => {
    const { entries, more } = await listEvents(db, tenant.id, visibility, query, { ...range, order: 'asc' });
    return { messages: entries.map(messageOf), more };
  },
});

function messageOf({ seq, event_id, event, unreadable }: Entry): Message {
  const [name, data] = event ? [event.kind, event] : ['unreadable', { seq, event_id, reason: unreadable }];
  return { seq, event: name, data, type: 'event', at: event?.created_at };
}
