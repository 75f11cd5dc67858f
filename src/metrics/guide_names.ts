import { Counter, Gauge, type Registry } from 'prom-client';

// The metrics of the context-manager guide under their names there, read from the metrics of this service at each scrape, so that the dashboards
// and alerts of the guide work unchanged. docs/guides/context-manager.md maps them.

interface Sample {
  value: number;
  metricName?: string;
}

export function addGuideMetrics(registry: Registry): void {
  const samplesOf = async (name: string): Promise<Sample[]> =>
    (await registry.getSingleMetric(`agent_memory_${name}`)?.get())?.values ?? [];
  const sumOf = async (name: string, ending = ''): Promise<number> =>
    (await samplesOf(name))
      .filter(({ metricName }) => ending === '' || metricName === `agent_memory_${name}${ending}`)
      .reduce((sum, { value }) => sum + value, 0);
  const counter = (name: string, help: string, of: string) =>
    new Counter({
      name: `context_manager_${name}`,
      help: `${help}; the sum of agent_memory_${of}`,
      registers: [registry],
      async collect() {
        this.reset();
        this.inc(await sumOf(of));
      },
    });
  const ratio = (name: string, help: string, read: () => Promise<[part: number, whole: number]>) =>
    new Gauge({
      name: `context_manager_${name}`,
      help,
      registers: [registry],
      async collect() {
        const [part, whole] = await read();
        // an unknown ratio has no series, because zero would fire an alert
        if (whole === 0) this.remove();
        else this.set(part / whole);
      },
    });
  counter('requests_total', 'Requests answered', 'total_requests');
  counter('errors_total', 'Requests answered with a 5xx', 'failed_requests');
  ratio('active_connections', 'Requests in progress and followers', async () => [
    (await sumOf('requests_in_flight')) + (await sumOf('followers')),
    1,
  ]);
  ratio('avg_response_time_ms', 'Mean time to the end of a response since the start, in ms', async () => [
    await sumOf('latency_ms', '_sum'),
    await sumOf('latency_ms', '_count'),
  ]);
  ratio(
    'cache_hit_rate',
    'Share of vectors found in the cache of embeddings since the start; absent before the first look-up',
    async () => {
      const hits = await sumOf('embeddings_cache_hits_total');
      return [hits, hits + (await sumOf('embeddings_cache_misses_total'))];
    },
  );
}
