import type { Socket } from 'node:net';
import { Problem } from '../http/problem.ts';

// Exports and imports hold memory as long as their clients take, so a daemon has few places for them. Members have places of their
// own, and a full house is no reason to wait for someone who trickles: the slowest one goes when another comes.

export interface SlotLimits {
  /** Of admins, and as many of members; of a tenant one of each. */
  parallel: number;
  /** Who has been here for so long and moved fewer bytes a second may have to go. */
  fair: { after_ms: number; bytes_s: number };
}

interface OccupiedSlot {
  admin: boolean;
  socket: Socket;
  began: number;
  moved: number;
  leaving: boolean;
}

export interface SlotRequest {
  tenant_id: string;
  admin: boolean;
  socket: Socket;
}

export function openSlots({ parallel, fair }: SlotLimits) {
  const taken = new Map<string, OccupiedSlot>();

  function freeSlot(admin: boolean): boolean {
    const same = [...taken.values()].filter((one) => one.admin === admin && !one.leaving);
    if (same.length < parallel) return true;
    const [slowest] = same.filter(isSlow).sort((one, other) => rateOf(one) - rateOf(other));
    if (!slowest) return false;
    slowest.leaving = true;
    slowest.socket.destroy();
    return true;
  }

  const isSlow = (one: OccupiedSlot) => performance.now() - one.began >= fair.after_ms && rateOf(one) < fair.bytes_s;

  return async <T>({ tenant_id, admin, socket }: SlotRequest, work: () => Promise<T>): Promise<T> => {
    const key = `${admin ? 'admin' : 'member'} ${tenant_id}`;
    if (taken.has(key) || !freeSlot(admin))
      throw new Problem('rate-limited', 'Another export or import is running.', { headers: { 'Retry-After': '10' } });
    taken.set(key, { admin, socket, began: performance.now(), moved: movedBy(socket), leaving: false });
    try {
      return await work();
    } finally {
      taken.delete(key);
    }
  };
}

/** Either way: an import comes, an export goes. */
const movedBy = ({ bytesRead, bytesWritten }: Socket): number => bytesRead + bytesWritten;
const rateOf = ({ socket, moved, began }: OccupiedSlot): number =>
  (movedBy(socket) - moved) / (Math.max(1, performance.now() - began) / 1000);
