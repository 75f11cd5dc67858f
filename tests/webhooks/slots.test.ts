import { assignSlots, webhookKey } from '../../src/webhooks/slots.ts';

const due = (tenant_id: string, count: number, slow = false) =>
  Array.from({ length: count }, (_, i) => ({ tenant_id, webhook_id: `whk_${slow ? 'slow' : 'quick'}_${i}`, slow }));
const running = (all: ReturnType<typeof due>) => new Map(all.map((one) => [webhookKey(one), one]));

test('the tenant with the fewest running webhooks comes first, and none gets more than four slots', () => {
  const { start, unassigned } = assignSlots([...due('busy', 6), ...due('light', 1)], running(due('busy', 2)));
  expect(start.map(webhookKey)).toEqual(['light/whk_quick_0', 'busy/whk_quick_2', 'busy/whk_quick_3']);
  expect(unassigned).toBe(0);
});

test('slow receivers get half of the slots and quick ones the rest, and webhooks without a slot are counted', () => {
  const slow = Array.from({ length: 20 }, (_, i) => due(`slow_${i}`, 1, true)).flat();
  const quick = Array.from({ length: 20 }, (_, i) => due(`quick_${i}`, 1)).flat();
  const { start, unassigned } = assignSlots([...slow, ...quick], new Map());
  expect([start.filter((one) => one.slow).length, start.length, unassigned]).toEqual([16, 32, 8]);
});

test('a running webhook is not started again', () => {
  const all = due('acme', 2);
  expect(assignSlots(all, running(all))).toEqual({ start: [], unassigned: 0 });
});
