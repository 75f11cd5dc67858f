import type { Item } from './pack.ts';
import { escapeLineEnds } from './render.ts';
import type { ContextEvent } from './sql.ts';
import { lexemeOf } from './statements.ts';

// Derives what recent passages are about, and who speaks in them, without a model: the words and tags that recur within a stretch of the
// conversation and not everywhere.

// MIN_EVENTS, MAX_SHARE and STRETCH were chosen by reading the topics of three dialogues, one of them Chinese; nothing measures them.

const MAX_TOPICS = 12;
const MAX_PEOPLE = 12;
/** A topic is mentioned in at least this many events. */
const MIN_EVENTS = 2;
/** A word of more than this share of the passages is a habit of speech and not a topic. */
const MAX_SHARE = 0.25;
/** Number of consecutive passages in a stretch. */
const STRETCH = 10;
const MIN_LETTERS = 3;
/** Scripts without spaces between words, in which a word may have two letters. */
const unspaced =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u;
const segmenter = new Intl.Segmenter(undefined, { granularity: 'word' });
/** Characters of a passage in such a script that are segmented, which takes a microsecond each. */
const MAX_SEGMENTED = 300;
const MAX_REFS = 5;

/** A passage of a profile, newest first in a list. */
interface SaidContent {
  text: string;
  tags: string[];
  actor_type: string;
  user_id: string | null;
}

interface Mention {
  label: string;
  /** The events that mention it, newest first. */
  events: ContextEvent[];
}

/**
 * Returns the topics of passages, which are newest first. The weight of a word is tf-idf with stretches of the conversation as the documents: the
 * number of its events, times the logarithm of all stretches per stretch with the word.
 */
export function topicItems(said: ContextEvent[]): Item[] {
  const words = collect(said, wordsIn);
  const tags = collect(said, (event) => contentOf(event).tags.map((tag) => [`#${tag}`, `#${tag}`] as const));
  const most = Math.max(MIN_EVENTS, said.length * MAX_SHARE);
  const stretchOf = new Map(said.map((event, i) => [event, Math.floor(i / STRETCH)]));
  const stretches = Math.ceil(said.length / STRETCH);
  const weight = ({ events }: Mention) => {
    const within = new Set(events.map((event) => stretchOf.get(event)));
    return events.length * Math.log((1 + stretches) / within.size);
  };
  return [...tags, ...words]
    .filter(({ events }) => events.length >= MIN_EVENTS && events.length <= most)
    .sort((a, b) => weight(b) - weight(a) || b.events[0]!.seq - a.events[0]!.seq || (a.label < b.label ? -1 : 1))
    .slice(0, MAX_TOPICS)
    .map((mention) => mentionItem('topic', mention));
}

/** Returns the actors other than tools, and the subjects named, except those in `own`; the ones with the most events come first. */
export function peopleItems(said: ContextEvent[], own: string[]): Item[] {
  const people = collect(said, (event) => {
    const { actor_type, user_id } = contentOf(event);
    const names = [...(actor_type === 'tool' ? [] : [event.actor_id]), ...(user_id === null ? [] : [user_id])];
    return names.filter((name) => !own.includes(name)).map((name) => [name, name] as const);
  });
  return people
    .sort((a, b) => b.events.length - a.events.length || b.events[0]!.seq - a.events[0]!.seq || (a.label < b.label ? -1 : 1))
    .slice(0, MAX_PEOPLE)
    .map((mention) => mentionItem('person', mention));
}

const contentOf = ({ content }: ContextEvent) => content as unknown as SaidContent;

/** Groups events by key. The label of a group is that of its newest event. */
function collect(said: ContextEvent[], labelsOf: (event: ContextEvent) => (readonly [key: string, label: string])[]): Mention[] {
  const mentions = new Map<string, Mention>();
  for (const event of said)
    for (const [key, label] of new Map(labelsOf(event))) {
      const known = mentions.get(key);
      if (known) known.events.push(event);
      else mentions.set(key, { label, events: [event] });
    }
  return [...mentions.values()];
}

/** Returns the words of a passage with their stems. Stop words have no stem. */
function wordsIn(event: ContextEvent): [stem: string, word: string][] {
  const lexemes = new Set(event.lexemes ?? []);
  return wordsOf(contentOf(event).text)
    .filter((word) => word.length >= (unspaced.test(word) ? 2 : MIN_LETTERS))
    .flatMap((word) => {
      const stem = lexemeOf(word, lexemes);
      return stem === undefined ? [] : [[stem, word]];
    });
}

const wordsOf = (text: string): string[] =>
  unspaced.test(text)
    ? [...segmenter.segment(text.slice(0, MAX_SEGMENTED))].filter(({ isWordLike }) => isWordLike).map(({ segment }) => segment)
    : (text.match(/\p{L}[\p{L}\p{N}_]*/gu) ?? []);

function mentionItem(kind: 'topic' | 'person', { label, events }: Mention): Item {
  const dates = `${events.length} ${events.length === 1 ? 'event' : 'events'}, last ${events[0]!.occurred_at.slice(0, 10)}`;
  return {
    type: 'text',
    text: `${kind} (${dates}): ${escapeLineEnds(label)}`,
    refs: events.slice(0, MAX_REFS).map(({ event_id }) => event_id),
    // not the events themselves, which another section may show
    ids: [],
    comparedText: `${kind} ${label}`,
    lexemes: [],
  };
}
