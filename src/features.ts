import { feature as agents } from './agents/index.ts';
import { feature as artifacts } from './artifacts/index.ts';
import { feature as audit } from './audit/index.ts';
import { feature as auth } from './auth/index.ts';
import { feature as capabilities } from './capabilities/index.ts';
import { feature as capsules } from './capsules/index.ts';
import { feature as compat } from './compat/index.ts';
import { feature as consistency } from './consistency/index.ts';
import { feature as context } from './context/index.ts';
import { feature as edits } from './edits/index.ts';
import { feature as embeddings } from './embeddings/index.ts';
import { feature as erasure } from './erasure/index.ts';
import { feature as events } from './events/index.ts';
import { feature as exporting } from './export/index.ts';
import type { Feature } from './feature.ts';
import { feature as health } from './health/index.ts';
import { feature as jobs } from './jobs/index.ts';
import { feature as leases } from './leases/index.ts';
import { feature as mandates } from './mandates/index.ts';
import { feature as memories } from './memories/index.ts';
import { feature as metrics } from './metrics/index.ts';
import { feature as passages } from './passages/index.ts';
import { feature as policies } from './policies/index.ts';
import { feature as retention } from './retention/index.ts';
import { feature as search } from './search/index.ts';
import { feature as snapshots } from './snapshots/index.ts';
import { feature as state } from './state/index.ts';
import { feature as tenants } from './tenants/index.ts';
import { feature as webhooks } from './webhooks/index.ts';

/** All features, in the order of the API documentation. */
export const features: Feature<unknown>[] = [
  auth,
  capabilities,
  tenants,
  events,
  artifacts,
  passages,
  embeddings,
  memories,
  search,
  capsules,
  edits,
  context,
  state,
  snapshots,
  leases,
  webhooks,
  exporting,
  mandates,
  policies,
  consistency,
  jobs,
  audit,
  erasure,
  retention,
  agents,
  health,
  metrics,
  compat,
];
