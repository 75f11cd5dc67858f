const MAX_TRIES = 4;

/** Runs a transaction again if PostgreSQL ended it because of a deadlock. It has written nothing then. */
export async function retryDeadlocks<T>(run: () => Promise<T>, tries = MAX_TRIES): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (tries === 1 || (error as { code?: string }).code !== '40P01') throw error;
    return retryDeadlocks(run, tries - 1);
  }
}
