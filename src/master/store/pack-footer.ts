/** The footer of a pack file. */
import { decodeFooter, footerOffset, PACK_TAIL_BYTES, type PackFooter, readTail } from "../../format/blocks/pack.ts";
import type { PackFile } from "./pack-disk.ts";

/** Throws `format_invalid` if this is not a complete pack, and the system's errors. */
export async function readFooter(file: PackFile): Promise<PackFooter> {
  const size = await file.size();
  const shape = readTail(await file.read(Math.max(0, size - PACK_TAIL_BYTES), PACK_TAIL_BYTES), size);
  const start = footerOffset(shape);
  return decodeFooter(await file.read(start, size - start), shape).footer;
}
