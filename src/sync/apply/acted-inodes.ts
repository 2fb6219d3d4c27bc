/**
 * Files of which a batch adds or removes names. That changes their ctime, which the database has for each name. Until the
 * batch ends, these names are compared by everything else; then all are brought up to date at once. Doing so after each
 * change would take too long for a file of many names. What other programs changed meanwhile is left for the next scan.
 */
import type { FileId } from "../../base/ids.ts";
import type { ApplyContext } from "./apply-context.ts";
import type { DiskPath, DiskStat } from "../disk/disk.ts";
import type { Entry } from "../known/entry.ts";
import { pathInFolder } from "../known/path-in-folder.ts";
import { type Seen, seenAfterRename } from "../known/seen.ts";
import { lookBelow } from "../scan/walk.ts";
import { digestOn } from "./incoming.ts";

interface Acted {
  readonly id: FileId;
  /** The ctimes that names may have in the database. */
  readonly ctimes: Set<bigint>;
  /** How it must look, apart from the ctime. */
  seen: Seen;
}

export class ActedInodes {
  readonly #context: ApplyContext;
  readonly #acted = new Map<bigint, Acted>();

  constructor(context: ApplyContext) {
    this.#context = context;
  }

  /** A name of the entry's inode was added or removed, or its attributes were set: then `seen` is how it looks now. */
  note({ id, record, seen: before }: Entry, seen?: Seen): void {
    if (record.type !== "file") return;
    const known = this.#acted.get(before.ino);
    // A removed file's number may be a new file's.
    const acted = known?.id === id ? known : { id, ctimes: new Set<bigint>(), seen: before };
    acted.ctimes.add(before.ctimeNs).add(acted.seen.ctimeNs);
    acted.seen = seen ?? acted.seen;
    this.#acted.set(before.ino, acted);
  }

  /** One of the inode's names is recorded like this. */
  recorded(seen: Seen): void {
    const acted = this.#acted.get(seen.ino);
    if (acted === undefined) return;
    acted.ctimes.add(acted.seen.ctimeNs);
    acted.seen = seen;
  }

  /** How the entry looks if only this batch changed it since; undefined if anything else did. */
  async seenNow(path: DiskPath, { seen }: Entry, stat: DiskStat): Promise<Seen | undefined> {
    const acted = this.#acted.get(seen.ino);
    if (acted?.ctimes.has(seen.ctimeNs) !== true) return undefined;
    const now = seenAfterRename(acted.seen, stat, this.#context.nowNs());
    if (now === acted.seen || (await digestOn(this.#context.disk, path)) !== now.xattrs) return undefined;
    return { ...now, hasty: now.hasty || seen.hasty };
  }

  /** Records how the inodes look now, for all of their names. */
  async settle(): Promise<void> {
    const { db, disk } = this.#context;
    for (const [ino, { id }] of this.#acted) {
      for (const entry of db.byId(id)) {
        // Where there are no links, other names have files of their own.
        const path = entry.seen.ino === ino ? pathInFolder(db, entry) : undefined;
        const stat = path === undefined ? undefined : await lookBelow(disk, path);
        if (path === undefined || stat === undefined || stat === "closed") continue;
        const seen = entry.seen.ctimeNs === stat.ctimeNs ? undefined : await this.seenNow(path, entry, stat);
        if (seen !== undefined) db.put({ ...entry, seen });
      }
    }
    this.#acted.clear();
  }
}
