/** The names of data files. */
import type { Ino } from "../../base/ids.ts";

/** Holds one inode's bytes of one epoch. */
export function dataFileName(ino: Ino, epoch: number): string {
  return `${ino}.${epoch}`;
}

/** Undefined for other names. */
export function parseDataFileName(name: string): { readonly ino: Ino; readonly epoch: number } | undefined {
  const [, ino, epoch] = /^(\d+)\.(\d+)$/.exec(name) ?? [];
  return ino === undefined ? undefined : { ino: Number(ino) as Ino, epoch: Number(epoch) };
}

/** Shared by small files of an epoch. */
export function smallName(epoch: number, part: number): string {
  return `small.${epoch}.${part}`;
}

/** Undefined for other names. */
export function parseSmallName(name: string): { readonly epoch: number; readonly part: number } | undefined {
  const [, epoch, part] = /^small\.(\d+)\.(\d+)$/.exec(name) ?? [];
  return epoch === undefined ? undefined : { epoch: Number(epoch), part: Number(part) };
}
