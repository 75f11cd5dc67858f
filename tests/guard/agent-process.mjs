// An agent: spends random amounts under a shared mandate until the budget refuses it, and prints what its settlements charged.
import { MandateBlockedError, MandateClient } from '../../dist/guard/index.js';

const [url, apiKey, id] = process.argv.slice(2);
const mandate = { id, agentId: 'planner' };
const stateManager = { type: 'service', url, apiKey, maxRetries: 100, commandTimeout: 60_000 };
const client = new MandateClient({ mandate, stateManager, auditLogger: 'memory', settleWaitMs: 300_000 });
let refusals = 0;
while (refusals < 3) {
  const estimate = Math.ceil(Math.random() * 100) / 1_000;
  const action = {
    type: 'tool_call',
    id: crypto.randomUUID(),
    agentId: 'planner',
    timestamp: Date.now(),
    tool: 'work',
    estimatedCost: estimate,
  };
  try {
    await client.executeTool(action, async () => ({ actualCost: Math.ceil(Math.random() * estimate * 1_000) / 1_000 }));
  } catch (error) {
    if (!(error instanceof MandateBlockedError) || error.code !== 'COST_LIMIT_EXCEEDED') throw error;
    refusals += 1;
  }
}
await client.close();
const charged = client.getAuditEntries().reduce((sum, { actualCost = 0 }) => sum + Math.round(actualCost * 1_000_000), 0);
console.log(JSON.stringify({ charged, calls: client.getAuditEntries().filter(({ decision }) => decision === 'ALLOW').length }));
