import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Dialogue, Question } from './dialogues.ts';
import type { Answer } from './measures.ts';

// Measures a daemon over HTTP, as a client would use it. Each dialogue belongs to a user of its own, so that questions find only its messages.

/** What differs between the systems that are compared. */
export interface Configuration {
  name?: string | undefined;
  /** The daemon; default: that of the command. */
  url?: string | undefined;
  /** Changes of the tenant, as PATCH /v1/tenant takes them. */
  settings?: object | undefined;
  /** Additional fields of each search and of each context. */
  search?: object | undefined;
  context?: object | undefined;
}

export interface Service {
  /** Imports a dialogue and returns a function that answers questions on it. */
  open(dialogue: Dialogue, budgets: number[]): Promise<(question: Question) => Promise<Answer>>;
  /** Deletes the tenant if this run has made it. Returns a sentence about what is left. */
  close(): Promise<string | undefined>;
}

type Call = <T>(method: string, path: string, body?: object) => Promise<T>;

const BATCH = 100;
const MAX_HITS = 50;
/** A message counts as carried if the item that cites it has this share of its words: a citation alone does not carry its text. */
const CARRIED_SHARE = 0.8;

/** Opens a daemon. Without an API key it registers a tenant, which needs REGISTRATION=open. */
export async function openService(url: string, api_key: string | undefined, configuration: Configuration): Promise<Service> {
  const { settings, search = {}, context = {} } = configuration;
  const run = `eval-${randomBytes(4).toString('hex')}`;
  if (api_key !== undefined && settings)
    throw new Error('`settings` would change the tenant of your API key; leave out the key to measure in a new tenant');
  const call = api_key === undefined ? await register(url, run) : callerOf(url, { 'x-api-key': api_key });
  if (settings) await call('PATCH', '/v1/tenant', settings);
  return {
    open: async (dialogue, budgets) => {
      const user_id = `${run}-${dialogue.id}`;
      const messageOf = await record(call, dialogue, user_id);
      return (question) => request(call, dialogue, messageOf, { question, user_id, budgets, search, context });
    },
    close: async () => {
      if (api_key !== undefined)
        return `The messages are kept as private items of the users ${run}-…; erase those users to remove them.`;
      await call('DELETE', '/v1/tenant', { confirm: run });
      return undefined;
    },
  };
}

async function register(url: string, tenant_id: string): Promise<Call> {
  const account = { username: 'eval', password: randomBytes(24).toString('base64url'), tenant_id };
  const { access_token } = await callerOf(url, {})<{ access_token: string }>('POST', '/auth/register', account);
  return callerOf(url, { authorization: `Bearer ${access_token}` });
}

/** Waits as long as the daemon demands if a rate limit is reached. */
function callerOf(url: string, credential: Record<string, string>): Call {
  const call: Call = async (method, path, body) => {
    const response = await fetch(new URL(path, url), {
      method,
      headers: { 'content-type': 'application/json', ...credential },
      ...(body && { body: JSON.stringify(body) }),
    }).catch((error: Error) => {
      throw new Error(`${url} cannot be reached: ${(error.cause as Error | undefined)?.message ?? error.message}`);
    });
    const text = await response.text();
    if (response.status === 429) {
      await sleep(1000 * Number(response.headers.get('retry-after') ?? 1));
      return call(method, path, body);
    }
    if (!response.ok) throw new Error(`${method} ${path} returned ${response.status}: ${text.slice(0, 500)}`);
    return text === '' ? undefined : JSON.parse(text);
  };
  return call;
}

/** Records the messages. Returns the id of the message of each event. */
async function record(call: Call, { id, messages }: Dialogue, user_id: string): Promise<Map<string, string>> {
  const messageOf = new Map<string, string>();
  for (let from = 0; from < messages.length; from += BATCH) {
    const batch = messages.slice(from, from + BATCH);
    const events = batch.map(({ actor, text, occurred_at, session_id = id }) => ({
      user_id,
      session_id,
      actor,
      content: { text },
      ...(occurred_at && { occurred_at }),
    }));
    const { data } = await call<{ data: { event_id: string }[] }>('POST', '/v1/events', { events });
    for (const [i, { event_id }] of data.entries()) messageOf.set(event_id, batch[i]!.id);
  }
  return messageOf;
}

interface Asked {
  question: Question;
  user_id: string;
  budgets: number[];
  search: object;
  context: object;
}

interface Bundle {
  text: string;
  sections: { items: { text: string; refs: string[] }[] }[];
}

async function request(call: Call, dialogue: Dialogue, messageOf: Map<string, string>, asked: Asked): Promise<Answer> {
  const { question, user_id, budgets, search, context } = asked;
  const began = performance.now();
  const found = { query: question.query, user_id, limit: MAX_HITS, ...search };
  const { data } = await call<{ data: { event_id?: string }[] }>('POST', '/v1/search', found);
  const search_ms = performance.now() - began;
  const ranked = [...new Set(data.flatMap(({ event_id }) => messageOf.get(event_id ?? '') ?? []))];
  const carried = new Map<number, string[]>();
  const context_ms: number[] = [];
  const textOf = new Map(dialogue.messages.map(({ id, text }) => [id, text]));
  for (const max_tokens of budgets) {
    const started = performance.now();
    const wanted = { query_text: question.query, session_id: 'eval', user_id, max_tokens, ...context };
    const bundle = await call<Bundle>('POST', '/v1/context?render=text', wanted);
    context_ms.push(performance.now() - started);
    const items = bundle.sections.flatMap((section) => section.items);
    const ids = items.flatMap(({ text, refs }) => {
      const cited = refs.flatMap((ref) => messageOf.get(ref) ?? []);
      return cited.filter((id) => carries(text, textOf.get(id)!));
    });
    carried.set(max_tokens, [...new Set(ids)]);
  }
  return { ranked, carried, search_ms, context_ms };
}

const wordsOf = (text: string): string[] => text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];

function carries(text: string, message: string): boolean {
  const present = new Set(wordsOf(text));
  const words = wordsOf(message);
  return words.filter((word) => present.has(word)).length >= CARRIED_SHARE * words.length;
}
