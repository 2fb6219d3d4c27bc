/** Files that a pass leaves out, and why: they count as unchanged. */
import type { FileName } from "../../base/ids.ts";
import type { DiskPath } from "../disk/disk.ts";
import { waitingOf, type Waiting } from "../waiting.ts";
import type { TooLarge } from "./too-large.ts";
import { within, type Found, type Walked } from "./walk.ts";

export type LeftReason = "keeps changing" | "cannot be read" | TooLarge;

/** What is not in the bucket, by reason. */
export interface NotSynced extends Pick<Walked, "special" | "mounts" | "apart" | "unreadable"> {
  readonly longNames: readonly DiskPath[];
  readonly tooLarge: readonly DiskPath[];
}

export interface Left {
  readonly waiting: Waiting;
  readonly unstable: readonly DiskPath[];
  readonly notSynced: NotSynced;
}

export class LeftOut {
  readonly #whys = new Map<string, LeftReason>();

  get size(): number {
    return this.#whys.size;
  }

  has(path: string): boolean {
    return this.#whys.has(path);
  }

  add(found: readonly Pick<Found, "path">[], why: LeftReason): void {
    for (const { path } of found) this.#whys.set(path.join("/"), why);
  }

  paths(): DiskPath[] {
    return Array.from(this.#whys.keys(), (path) => path.split("/") as FileName[]);
  }

  /** Those that a walk found. A directory at the path of a file is new, so it does not count. */
  within({ root, special, mounts, apart, unreadable }: Walked): Left {
    const whyOf = ({ path, stat }: Found) => {
      const why = this.#whys.get(path.join("/"));
      return stat.type === "directory" && why !== "name too long" ? undefined : why;
    };
    const found = this.size === 0 ? [] : within(root).filter((each) => whyOf(each) !== undefined);
    const because = (why: LeftReason) => found.filter((each) => whyOf(each) === why).map(({ path }) => path);
    return {
      waiting: waitingOf(found),
      unstable: because("keeps changing"),
      notSynced: {
        special,
        mounts,
        apart,
        unreadable: [...unreadable, ...because("cannot be read")],
        longNames: because("name too long"),
        tooLarge: because("too large"),
      },
    };
  }
}
