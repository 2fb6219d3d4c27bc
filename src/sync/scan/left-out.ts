/** Files that a pass leaves out, and why: they count as unchanged. */
import type { FileName } from "../../base/ids.ts";
import type { DiskPath } from "../disk/disk.ts";
import { waitingOf, type Waiting } from "../waiting.ts";
import { within, type Found } from "./walk.ts";

export type Why = "keeps changing" | "cannot be read";

export class LeftOut {
  readonly #whys = new Map<string, Why>();

  get size(): number {
    return this.#whys.size;
  }

  has(path: string): boolean {
    return this.#whys.has(path);
  }

  add(found: readonly Found[], why: Why): void {
    for (const { path } of found) this.#whys.set(path.join("/"), why);
  }

  paths(): DiskPath[] {
    return Array.from(this.#whys.keys(), (path) => path.split("/") as FileName[]);
  }

  /** Those that a walk found. A directory at such a path is new, so it does not count. */
  within(root: Found): { readonly waiting: Waiting; readonly because: (why: Why) => DiskPath[] } {
    const whyOf = ({ path, stat }: Found) => (stat.type === "directory" ? undefined : this.#whys.get(path.join("/")));
    const found = this.size === 0 ? [] : within(root).filter((each) => whyOf(each) !== undefined);
    const because = (why: Why) => found.filter((each) => whyOf(each) === why).map(({ path }) => path);
    return { waiting: waitingOf(found), because };
  }
}
