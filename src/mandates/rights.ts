import { agentOf, type Caller, coversAllSubjects, isAdmin, type Principal } from '../auth/index.ts';
import { Problem } from '../http/problem.ts';
import type { Reader } from './sql.ts';
import type { Terms, TermsCache } from './terms.ts';
import { StaleTerms } from './write.ts';

export const noMandate = () => new Problem('not-found', 'There is no mandate with this id.');

/** Returns which mandates a caller may read and act under: all, or those that are bound to its subject. */
export const readerOf = (principal: Principal): Reader => ({
  all: isAdmin(principal) || coversAllSubjects(principal),
  subject: principal.subject,
});

/** Returns the terms of a mandate under which the caller may act. Throws `not-found` if it may not see it. */
export async function termsFor(cache: TermsCache, { tenant, principal }: Caller, mandate_id: string): Promise<Terms> {
  const terms = await cache.read(tenant, mandate_id);
  const { all, subject } = readerOf(principal);
  if (!terms || !(all || terms.principal === subject)) throw noMandate();
  agentOf(principal, terms.agent_id);
  return terms;
}

/** Runs a change of a mandate with its terms, again if the transaction found that they have changed. */
export async function withTerms<T>(
  cache: TermsCache,
  caller: Caller,
  mandate_id: string,
  change: (terms: Terms) => Promise<T>,
): Promise<T> {
  try {
    return await change(await termsFor(cache, caller, mandate_id));
  } catch (error) {
    if (!(error instanceof StaleTerms)) throw error;
    cache.forget(caller.tenant, mandate_id);
    return change(await termsFor(cache, caller, mandate_id));
  }
}
