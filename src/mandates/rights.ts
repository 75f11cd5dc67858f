import { agentOf, type Caller, coversAllSubjects, isAdmin, type Principal } from '../auth/index.ts';
import { Problem } from '../http/problem.ts';
import type { Reader } from './sql.ts';
import type { Terms, TermsCache } from './terms.ts';

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
