import fc from 'fast-check';
import { countTokens as cl100k_base } from 'gpt-tokenizer/encoding/cl100k_base';
import { countTokens as o200k_base } from 'gpt-tokenizer/encoding/o200k_base';
import { loadTokenCounter } from '../../src/context/tokens.ts';
import { message, newTenant } from '../support/client.ts';
import { startTestDaemon } from '../support/daemon.ts';
import { runToEnd } from '../support/steps.ts';

const asText = { allowedSpecial: new Set<string>(), disallowedSpecial: new Set<string>() };

test.each([
  ['o200k_base', o200k_base],
  ['cl100k_base', cl100k_base],
] as const)('counts equal those of %s for long runs and for prose', async (name, reference) => {
  const countTokens = await loadTokenCounter(name);
  const run = fc
    .tuple(fc.constantFrom('a', 'Zq', '漢', '😀', ' ', '\n', '=', '字か', '0', '\t ', 'é', '<|endoftext|>'), fc.nat(300))
    .map(([unit, times]) => unit.repeat(times));
  fc.assert(
    fc.property(fc.array(fc.oneof(run, fc.string({ unit: 'grapheme' })), { maxLength: 6 }), (parts) => {
      const text = parts.join('');
      expect(runToEnd(countTokens(text))).toBe(reference(text, asText));
    }),
    { numRuns: 200 },
  );
});

test.each(['a', '漢', '😀', ' ', '='])('a million repetitions of %j are counted in seconds', async (unit) => {
  const countTokens = await loadTokenCounter('o200k_base');
  expect(runToEnd(countTokens(unit.repeat(1_000_000)))).toBeGreaterThan(1000);
  // the library alone takes minutes to hours and would exceed the time limit of the test
});

test('both encodings can be loaded together and count differently', async () => {
  const [wide, narrow] = await Promise.all([loadTokenCounter('o200k_base'), loadTokenCounter('cl100k_base')]);
  const text = 'Привет, как дела? 漢字';
  expect(runToEnd(narrow(text))).toBeGreaterThan(runToEnd(wide(text)));
});

test('a context is counted with the encoding of TOKENIZER', async () => {
  const daemon = await startTestDaemon({ TOKENIZER: 'cl100k_base' });
  const alice = await newTenant(daemon.url);
  await alice.request('POST', '/v1/events', { body: message('Привет, как дела? 漢字') });
  const wanted = { session_id: 's1', channel: 'private', query_text: 'Привет', max_tokens: 2000 };
  const { status, body } = await alice.request('POST', '/v1/context?render=text', { body: wanted });
  await daemon.stop();
  expect(status).toBe(200);
  expect(body.text).toContain('Привет');
  expect(body.token_used).toBe(cl100k_base(body.text, asText));
  expect(body.token_used).not.toBe(o200k_base(body.text, asText));
});
