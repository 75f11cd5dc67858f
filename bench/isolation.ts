import { planSearch, type Survey } from '../src/search/plan.ts';
import { literal } from './plain-rows.ts';
import type { Figure } from './report.ts';
import { alternate, ratioFigure } from './rounds.ts';
import { loadTenants, questions } from './tenants.ts';
import type { World } from './world.ts';

const TENANT = 't5';
const ROUNDS = 5;
const SECONDS = 2;
const SCOPE = { channels: ['private', 'public', 'team', 'agent'], sensitivities: ['none', 'low', 'high'], subjects: ['bench'] };

/**
 * Measures the cost of row-level security in a full-text search, in PostgreSQL alone: the service's own functions against the same statements run
 * by a superuser, to whom no policy applies.
 */
export async function measureIsolation(world: World): Promise<Figure[]> {
  await loadTenants(world);
  await makePlainPool(world);
  const searches = await Promise.all((await questions(world, 8)).map((query) => argumentsOf(world, query)));
  const contestant = (name: string, clients: number, scripts: string[]) => ({
    name,
    run: (seconds: number) => world.pgbench.tps(name, scripts, clients, seconds),
  });
  const words = await alternate(
    [
      contestant(
        'words-walled',
        2,
        searches.map((args) => `select * from search_pool(${args});\n`),
      ),
      contestant(
        'words-plain',
        2,
        searches.map((args) => `select * from plain_search_pool(${args});\n`),
      ),
    ],
    ROUNDS,
    SECONDS,
  );
  return [
    ratioFigure(words, 'isolation', 'isolated full-text search (10⁵ chunks) ÷ plain', 'words-walled', 'words-plain', {
      min: 0.9,
    }),
  ];
}

/** Creates `plain_search_pool`: the function `search_pool` of a search without `security definer` and without a change of role. */
async function makePlainPool(world: World): Promise<void> {
  await world.sql(async (client) => {
    for (const name of ['search_pool', 'search_pool_chunks']) {
      const { rows } = await client.query<{ text: string }>(
        `select pg_get_functiondef(oid) as text from pg_proc where proname = $1`,
        [name],
      );
      const plain = rows[0]!.text
        .replace(`FUNCTION public.${name}(`, `FUNCTION public.plain_${name}(`)
        .replace('SECURITY DEFINER', '')
        .replace('perform enter_tenant(p_tenant)', `perform set_config('app.tenant_id', p_tenant, true)`)
        .replace('from search_pool_chunks(', 'from plain_search_pool_chunks(');
      await client.query(plain);
    }
  });
}

/** Returns the arguments with which the service would call `search_pool` for this query. */
async function argumentsOf(world: World, query: string): Promise<string> {
  const { rows } = await world.sql((client) =>
    client.query<Survey>('select * from survey_query($1, $2, $3, $4)', [TENANT, query, SCOPE, []]),
  );
  const survey = { ...rows[0]!, as_of_seq: Number(rows[0]!.as_of_seq) };
  const scope = { ...SCOPE, as_of_seq: survey.as_of_seq };
  const plan = planSearch(survey);
  return `'${TENANT}', ${literal(JSON.stringify(scope))}::jsonb, '{${survey.keys.join(',')}}'::int[], ${literal(JSON.stringify(plan))}::jsonb`;
}
