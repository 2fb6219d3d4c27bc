/** Compares records of files. */
import { nodeAddress } from "../blocks/block-codec.ts";
import { encodeRecord } from "../format/files/record-codec.ts";
import type { FileRecord } from "../format/files/record.ts";

/** Whether two records are equal in every field. */
export function sameRecord(a: FileRecord, b: FileRecord): boolean {
  const [one, other] = [encodeRecord(a, nodeAddress), encodeRecord(b, nodeAddress)];
  return Buffer.compare(one.value, other.value) === 0 && one.links.join() === other.links.join();
}

/** Whether two records are equal except for their change times. */
export function sameButCtime(a: FileRecord, b: FileRecord): boolean {
  return a.mtimeNs === b.mtimeNs && sameRecord({ ...a, ctimeNs: 0n }, { ...b, ctimeNs: 0n });
}
