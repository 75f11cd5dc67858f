import type { Metric, Registry } from 'prom-client';

// The metrics of the AgentState guide under their names there, read from the metrics of this service at each scrape, so that the queries of the
// guide work unchanged. docs/monitoring.md maps them.

interface Sample {
  value: number;
  labels: Partial<Record<string, string | number>>;
  metricName?: string;
}

/** Returns the operation id of a route of the API, or undefined if there is none. */
export type OperationOf = (method: string, route: string) => string | undefined;

/** The metrics that have another name here, without the prefix `agent_memory_`. */
const renamed: [name: string, type: 'counter' | 'gauge' | 'histogram', of: string][] = [
  ['watch_clients_total', 'gauge', 'followers'],
  ['watch_drops_total', 'counter', 'follower_dropped_events_total'],
  ['watch_backlog_events', 'gauge', 'follower_backlog_events'],
  ['watch_emit_lag_seconds', 'histogram', 'watch_lag_seconds'],
  ['watch_events_total', 'counter', 'follower_events_total'],
  ['watch_resumes_total', 'counter', 'follower_resumes_total'],
];

export function addAgentStateMetrics(registry: Registry, operationOf: OperationOf): void {
  const samplesOf = async (of: string): Promise<Sample[]> =>
    (await registry.getSingleMetric(`agent_memory_${of}`)?.get())?.values ?? [];
  const add = (name: string, type: string, help: string, read: () => Promise<Sample[]>) => {
    const metric = { name, help, type, get: async () => ({ name, help, type, aggregator: 'sum', values: await read() }) };
    registry.registerMetric(metric as unknown as Metric);
  };
  for (const [name, type, of] of renamed)
    add(name, type, `The same as agent_memory_${of}`, async () => rename(await samplesOf(of), `agent_memory_${of}`, name));
  add('op_duration_seconds', 'histogram', 'agent_memory_latency_ms by operation, in seconds', async () =>
    durationsOf(await samplesOf('latency_ms'), operationOf),
  );
  add('agentstate_ops_total', 'counter', 'agent_memory_total_requests by operation and result', async () =>
    resultsOf(await samplesOf('total_requests'), operationOf),
  );
  add('rate_limit_exceeded_total', 'counter', 'Requests answered with 429', async () => {
    const refused = await samplesOf('refused_requests_total');
    const limited = refused.filter(({ labels }) => labels.problem === 'rate-limited');
    return [{ labels: {}, value: limited.reduce((sum, { value }) => sum + value, 0) }];
  });
}

const rename = (samples: Sample[], from: string, to: string): Sample[] =>
  samples.map(({ metricName, ...sample }) => ({ ...sample, ...(metricName && { metricName: metricName.replace(from, to) }) }));

function durationsOf(samples: Sample[], operationOf: OperationOf): Sample[] {
  return rename(samples, 'agent_memory_latency_ms', 'op_duration_seconds').flatMap(({ metricName = '', labels, value }) => {
    const op = operationOf(`${labels.method}`, `${labels.route}`);
    if (op === undefined) return [];
    const { le } = labels;
    const bound = le === undefined ? {} : { le: le === '+Inf' ? le : Number(le) / 1000 };
    return [{ metricName, labels: { ...bound, op }, value: metricName.endsWith('_sum') ? value / 1000 : value }];
  });
}

/** Counts by operation and result. Every result of an operation has a series, so that a share of errors is defined without errors. */
function resultsOf(samples: Sample[], operationOf: OperationOf): Sample[] {
  const byOperation = new Map<string, Record<string, number>>();
  for (const { labels, value } of samples) {
    const op = operationOf(`${labels.method}`, `${labels.route}`);
    if (op === undefined) continue;
    const counts = byOperation.get(op) ?? { ok: 0, refused: 0, error: 0 };
    counts[resultOf(Number(labels.status))]! += value;
    byOperation.set(op, counts);
  }
  return [...byOperation].flatMap(([op, counts]) =>
    Object.entries(counts).map(([result, value]) => ({ labels: { op, result }, value })),
  );
}

/** The client ended a stream, or left before the answer. */
const LEFT = 499;
const resultOf = (status: number): string => {
  if (status >= 500) return 'error';
  return status >= 400 && status !== LEFT ? 'refused' : 'ok';
};
