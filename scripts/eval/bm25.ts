import { countTokens } from 'gpt-tokenizer/encoding/o200k_base';
import MiniSearch from 'minisearch';
import type { Dialogue, Message, Question } from './dialogues.ts';
import type { Answer } from './measures.ts';

// The baseline: BM25+ of the library minisearch with its default constants, over the texts of one dialogue. Words are those of
// Intl.Segmenter, in lower case, without stemming; a message matches if it has any word of the question.

const segmenter = new Intl.Segmenter(undefined, { granularity: 'word' });
const wordsOf = (text: string): string[] =>
  [...segmenter.segment(text)].flatMap(({ segment, isWordLike }) => (isWordLike ? [segment] : []));

const MAX_HITS = 50;

/** Returns a function that answers questions on the dialogue. Its context is the best messages, in order, until one does not fit. */
export function openBm25({ messages }: Dialogue, budgets: number[]): (question: Question) => Answer {
  const index = new MiniSearch<Message>({ fields: ['text'], tokenize: wordsOf });
  index.addAll(messages);
  const byId = new Map(messages.map((message) => [message.id, message]));
  return ({ query }) => {
    const ranked = index.search(query).map(({ id }) => id as string);
    const carried = new Map(
      budgets.map((budget) => [
        budget,
        fitting(
          ranked.map((id) => byId.get(id)!),
          budget,
        ),
      ]),
    );
    return { ranked: ranked.slice(0, MAX_HITS), carried };
  };
}

function fitting(messages: Message[], budget: number): string[] {
  const ids: string[] = [];
  let used = 0;
  for (const { id, actor, text } of messages) {
    used += countTokens(`${actor.id}: ${text}\n`);
    if (used > budget) break;
    ids.push(id);
  }
  return ids;
}
