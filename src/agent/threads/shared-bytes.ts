/** A number of bytes that one thread writes and others read. Aligned doubles are read and written whole. */
export type SharedBytes = SharedArrayBuffer;

export function newSharedBytes(): SharedBytes {
  return new SharedArrayBuffer(Float64Array.BYTES_PER_ELEMENT);
}

export function readShared(bytes: SharedBytes): number {
  return new Float64Array(bytes)[0] ?? 0;
}

export function writeShared(bytes: SharedBytes, value: number): void {
  new Float64Array(bytes)[0] = value;
}
