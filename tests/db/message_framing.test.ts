import fc from 'fast-check';
import { createMessageFramer } from '../../src/db/message_framing.ts';

const startup = () => Buffer.concat([int32(8 + 5), int32(196_608), Buffer.from('user\0')]);
const int32 = (n: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(n);
  return bytes;
};
const message = (body: Uint8Array) => Buffer.concat([Buffer.from('Q'), int32(4 + body.length), body]);
const tlsRequest = Buffer.concat([int32(8), int32(80_877_103)]);

test('bytes in parts of any size are returned in order as complete messages', () => {
  fc.assert(
    fc.property(
      fc.boolean(),
      fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 }),
      fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 }),
      (tls, bodies, cuts) => {
        const messages = [...(tls ? [tlsRequest] : []), startup(), ...bodies.map(message)];
        const all = Buffer.concat(messages);
        const ends = new Set(messages.map((_, i) => Buffer.concat(messages.slice(0, i + 1)).length));
        const framer = createMessageFramer();
        const out: Buffer[] = [];
        for (let at = 0, i = 0; at < all.length; i += 1) {
          const next = at + cuts[i % cuts.length]!;
          const whole = framer(all.subarray(at, next));
          at = next;
          if (!whole) continue;
          out.push(whole);
          expect(ends).toContain(Buffer.concat(out).length);
        }
        expect(Buffer.concat(out)).toEqual(all);
      },
    ),
  );
});

test('an impossible length is passed on', () => {
  expect(createMessageFramer()(Buffer.alloc(16))).toHaveLength(16);
});
