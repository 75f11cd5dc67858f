import { randomUUID } from 'node:crypto';
import { type FileHandle, mkdir, open, unlink } from 'node:fs/promises';
import { join } from 'node:path';

// Buffers the pages that were read in a snapshot, so that a slow client does not keep the snapshot open. Beyond a small size they go to an
// unlinked temporary file, which disappears with the process.

const IN_MEMORY_BYTES = 8 * 1024 * 1024;
const READ_BYTES = 1024 * 1024;

export interface Spool {
  add(page: string): Promise<void>;
  /** Yields what was added, in order. Can be called once. */
  read(): AsyncGenerator<Buffer>;
  close(): Promise<void>;
}

/** `dir`: a writable directory, which a container may need to mount because its root is read-only. */
export function openSpool(dir: string, inMemory = IN_MEMORY_BYTES): Spool {
  let pages: Buffer[] = [];
  let buffered = 0;
  let file: FileHandle | undefined;

  async function toFile(): Promise<void> {
    if (!file) {
      await mkdir(dir, { recursive: true, mode: 0o700 });
      const name = join(dir, `agent-memory-${randomUUID()}`);
      file = await open(name, 'wx+', 0o600);
      await unlink(name);
    }
    for (const page of pages) await file.write(page);
    pages = [];
    buffered = 0;
  }

  async function* read(): AsyncGenerator<Buffer> {
    for (let at = 0; file; ) {
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(READ_BYTES), 0, READ_BYTES, at);
      if (bytesRead === 0) break;
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
    yield* pages;
  }

  return {
    add: async (page) => {
      const bytes = Buffer.from(page);
      pages.push(bytes);
      buffered += bytes.length;
      if (buffered > inMemory) await toFile();
    },
    read,
    close: async () => file?.close(),
  };
}
