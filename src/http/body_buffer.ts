import { Problem } from './problem.ts';

// The client decides how small the parts of a body are, and each part costs about 300 bytes of overhead: kept one by one, a body in
// parts of one byte took 300 times its size. Small parts are therefore copied into a common block.

/** Bytes reserved for the bodies of running requests. Their bound keeps many large bodies from exhausting the memory together. */
export interface BytesInFlight {
  bytes: number;
  readonly max: number;
  readonly byTenant: Map<string, number>;
}

export interface BodyBuffer {
  readonly size: number;
  add(part: Buffer): void;
  /** Returns everything that was added. */
  join(): Buffer;
  clear(): void;
}

const LARGE_PART = 4096;
const SMALLEST_ROOM = 8 * 1024;
const LARGEST_ROOM = 256 * 1024;
const LARGE_ROOM = 64 * 1024;
const nothing = Buffer.alloc(0);

/** Opens a buffer that grows. It allocates at most about twice its size, and does not copy a single part. */
export function openBuffer(): BodyBuffer {
  let parts: Buffer[] = [];
  let room = nothing;
  let used = 0;
  let size = 0;
  const closeRoom = () => {
    if (used > 0) parts.push(room.subarray(0, used));
    room = nothing;
    used = 0;
  };
  return {
    get size() {
      return size;
    },
    add: (part) => {
      const first = size === 0;
      size += part.length;
      const fits = part.length <= room.length - used;
      if (first || (!fits && part.length >= LARGE_PART)) {
        closeRoom();
        parts.push(part);
        return;
      }
      if (!fits) {
        closeRoom();
        room = Buffer.allocUnsafeSlow(Math.min(LARGEST_ROOM, Math.max(SMALLEST_ROOM, size)));
      }
      used += part.copy(room, used);
    },
    join: () => {
      closeRoom();
      if (parts.length !== 1) parts = [Buffer.concat(parts)];
      return parts[0]!;
    },
    clear: () => {
      parts = [];
      room = nothing;
      used = 0;
      size = 0;
    },
  };
}

/** Opens a buffer of a known length, allocated once. */
export function openFixedBuffer(length: number): BodyBuffer {
  if (length < LARGE_ROOM) return openBuffer();
  let room = Buffer.allocUnsafeSlow(length);
  let used = 0;
  return {
    get size() {
      return used;
    },
    add: (part) => {
      used += part.copy(room, used);
    },
    join: () => room.subarray(0, used),
    clear: () => {
      room = nothing;
      used = 0;
    },
  };
}

/** Opens a growing buffer that counts towards the daemon's byte limit until it is cleared; `add` throws if the limit is exceeded. */
export function openCountedBuffer(bytesInFlight: BytesInFlight): BodyBuffer {
  const gather = openBuffer();
  return {
    get size() {
      return gather.size;
    },
    add: (part) => {
      if (bytesInFlight.bytes + part.length > bytesInFlight.max) throw tooManyBytes();
      bytesInFlight.bytes += part.length;
      gather.add(part);
    },
    join: gather.join,
    clear: () => {
      bytesInFlight.bytes -= gather.size;
      gather.clear();
    },
  };
}

export const tooManyBytes = (): Problem =>
  new Problem(
    'unavailable',
    'The requests in progress already use all memory that is reserved for request bodies (MAX_IN_FLIGHT_BYTES).',
    {
      headers: { 'Retry-After': '1' },
    },
  );
