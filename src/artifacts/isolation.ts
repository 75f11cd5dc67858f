import type { Isolation } from '../feature.ts';

export const isolation: Isolation = {
  make: async ({ request }) => {
    const bytes = { body: 'alpha bytes', headers: { 'content-type': 'text/plain' } };
    return { artifact_id: (await request('POST', '/v1/artifacts', bytes)).body.artifact_id };
  },
  cases: {
    storeArtifact: { body: () => 'bytes', ownAnswer: true },
    readArtifact: {},
  },
};
