import type { Socket } from 'node:net';
import { Problem } from '../http/problem.ts';

// Exports and imports occupy memory as long as their clients take, so a daemon runs only a few at once. Admins and members have separate slots.
// If all are taken, a new transfer evicts the slowest one, so that slow clients cannot block others.

export interface SlotLimits {
  /** Slots for admins, and as many for members. A tenant can occupy one of each. */
  parallel: number;
  /** After `after_ms`, a transfer below `bytes_s` bytes per second can be evicted. */
  eviction: { after_ms: number; bytes_s: number };
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

export function openSlots({ parallel, eviction }: SlotLimits) {
  const occupied = new Map<string, OccupiedSlot>();

  function freeSlot(admin: boolean): boolean {
    const sameKind = [...occupied.values()].filter((one) => one.admin === admin && !one.leaving);
    if (sameKind.length < parallel) return true;
    const [slowest] = sameKind.filter(isSlow).sort((one, other) => rateOf(one) - rateOf(other));
    if (!slowest) return false;
    slowest.leaving = true;
    slowest.socket.destroy();
    return true;
  }

  const isSlow = (one: OccupiedSlot) => performance.now() - one.began >= eviction.after_ms && rateOf(one) < eviction.bytes_s;

  return async <T>({ tenant_id, admin, socket }: SlotRequest, work: () => Promise<T>): Promise<T> => {
    const key = `${admin ? 'admin' : 'member'} ${tenant_id}`;
    if (occupied.has(key) || !freeSlot(admin))
      throw new Problem('rate-limited', 'Another export or import is running.', { headers: { 'Retry-After': '10' } });
    occupied.set(key, { admin, socket, began: performance.now(), moved: movedBy(socket), leaving: false });
    try {
      return await work();
    } finally {
      occupied.delete(key);
    }
  };
}

/** Counts both directions: an import receives, an export sends. */
const movedBy = ({ bytesRead, bytesWritten }: Socket): number => bytesRead + bytesWritten;
const rateOf = ({ socket, moved, began }: OccupiedSlot): number =>
  (movedBy(socket) - moved) / (Math.max(1, performance.now() - began) / 1000);
