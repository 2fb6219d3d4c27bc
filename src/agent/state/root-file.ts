/**
 * Records the newest root of an address in the state folder: an empty file `<seq>.<root>.<genesis>` in `<hash of
 * URL>/known/`.
 *
 * The file's name holds everything, so it is always complete, without a lock or a sync. Several processes may add names;
 * the greatest seq counts, and each process removes the names below its own.
 */
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeFolders } from "../../runtime/make-folders.ts";
import { orElse, unlessSync } from "../../base/unless.ts";
import type { Lamport } from "../../base/ids.ts";
import { failedWith } from "../../base/system-errors.ts";
import type { SeenRoot, RootMemory } from "../../bucket/root-witness.ts";
import { parseCid } from "../../format/blocks/cid.ts";
import { addressFolder } from "./state-dir.ts";

/** `root` is the folder of all states. */
export function rootFile(root: string, address: string): RootMemory {
  const folder = join(addressFolder(root, address), "known");
  let noted: string | undefined;
  const keep = (found: SeenRoot, isReplaced: (other: SeenRoot) => boolean) => {
    const name = nameOf(found);
    if (name === noted) return;
    try {
      makeFolders(folder, 0o700);
      writeFileSync(join(folder, name), "", { mode: 0o600 });
      for (const other of namesIn(folder)) {
        const known = parseName(other);
        if (other !== name && known !== undefined && isReplaced(known)) rmSync(join(folder, other), { force: true });
      }
      noted = name;
    } catch (error) {
      if (!failedWith(error, ...NOT_WRITABLE)) throw error;
    }
  };
  return {
    read: () => newestOf(namesIn(folder)),
    note: (found) => {
      const newest = newestOf(namesIn(folder));
      if (newest === undefined || newest.seq < found.seq) keep(found, ({ seq }) => seq < found.seq);
    },
    replace: (found) => keep(found, () => true),
  };
}

/** Reading works without a writable state. */
const NOT_WRITABLE = ["EACCES", "EPERM", "EROFS", "ENOSPC", "EDQUOT", "ENOTDIR", "ENOENT"] as const;

function namesIn(folder: string): string[] {
  return unlessSync(["ENOENT", "ENOTDIR", "EACCES"], () => readdirSync(folder), []);
}

function newestOf(names: readonly string[]): SeenRoot | undefined {
  const known = names.map(parseName).filter((each) => each !== undefined);
  return known.reduce<SeenRoot | undefined>(
    (newest, each) => (each.seq > (newest?.seq ?? 0) ? each : newest),
    undefined,
  );
}

function nameOf({ seq, root, genesis }: SeenRoot): string {
  return `${seq}.${root}.${genesis}`;
}

/** Undefined for other names. */
function parseName(name: string): SeenRoot | undefined {
  const [seq = "", root = "", genesis = ""] = name.split(".");
  if (!/^[1-9]\d{0,15}$/.test(seq)) return undefined;
  return orElse(undefined, () => ({ seq: Number(seq) as Lamport, root: parseCid(root), genesis: parseCid(genesis) }));
}
