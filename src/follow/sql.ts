import type { Db } from '../db/query.ts';

export interface LogBounds {
  last_seq: number;
  oldest_seq: number;
}

export async function readLogBounds(db: Db, tenant: string): Promise<LogBounds | undefined> {
  return db.row<LogBounds>('select last_seq, oldest_seq from tenant_clocks where tenant_id = $1', [tenant], 'read_log_bounds');
}
