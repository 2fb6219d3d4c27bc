/** Sparse bytes in memory: pages that were never written are holes. */
const PAGE_BYTES = 64 * 1024;

export class PagedBytes {
  size = 0;
  readonly #pages = new Map<number, Buffer>();

  /** Fills `target` from `offset` on; returns the number of bytes read. */
  read(offset: number, target: Uint8Array): number {
    const length = Math.max(0, Math.min(target.length, this.size - offset));
    for (const { page, at, done, count } of partsOf(offset, length)) {
      const bytes = this.#pages.get(page);
      if (bytes === undefined) target.fill(0, done, done + count);
      else target.set(bytes.subarray(at, at + count), done);
    }
    return length;
  }

  write(offset: number, source: Uint8Array): void {
    for (const { page, at, done, count } of partsOf(offset, source.length)) {
      let bytes = this.#pages.get(page);
      if (bytes === undefined) this.#pages.set(page, (bytes = Buffer.alloc(PAGE_BYTES)));
      bytes.set(source.subarray(done, done + count), at);
    }
    this.size = Math.max(this.size, offset + source.length);
  }

  resize(size: number): void {
    if (size < this.size) this.clear(size, this.size - size);
    this.size = size;
  }

  /** Makes a range read as zeros; whole pages become holes. */
  clear(offset: number, length: number): void {
    for (const [page, bytes] of this.#pages) {
      const from = Math.max(0, offset - page * PAGE_BYTES);
      const to = Math.min(PAGE_BYTES, offset + length - page * PAGE_BYTES);
      if (to - from === PAGE_BYTES) this.#pages.delete(page);
      else if (from < to) bytes.fill(0, from, to);
    }
  }

  /** The first offset at or after `offset` that is data or a hole; the end counts as a hole. Undefined: no more data. */
  seek(offset: number, whence: "data" | "hole"): number | undefined {
    const first = Math.floor(offset / PAGE_BYTES);
    if (whence === "data") {
      const next = [...this.#pages.keys()].filter((page) => page >= first).sort((a, b) => a - b)[0];
      const at = next === undefined ? this.size : Math.max(offset, next * PAGE_BYTES);
      return at < this.size ? at : undefined;
    }
    let page = first;
    while (this.#pages.has(page)) page++;
    return Math.min(this.size, Math.max(offset, page * PAGE_BYTES));
  }
}

function* partsOf(
  offset: number,
  length: number,
): Generator<{ page: number; at: number; done: number; count: number }> {
  for (let done = 0; done < length;) {
    const page = Math.floor((offset + done) / PAGE_BYTES);
    const at = (offset + done) % PAGE_BYTES;
    const count = Math.min(PAGE_BYTES - at, length - done);
    yield { page, at, done, count };
    done += count;
  }
}
