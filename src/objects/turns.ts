/**
 * A line for the writers of a folder: each has an empty file in `turns/` while waiting and during its turn, and the store's
 * dates give the order. Advisory: nothing stored depends on it. A writer that waits in vain, or cannot wait, continues
 * without a turn.
 *
 * The file's name identifies its writer: writing that into the file would change its date, and two writers could wait for
 * each other. Names are never reused, so removing a dead writer's file cannot hit another's.
 */
import { join } from "node:path";
import { unless } from "../base/unless.ts";
import { hasCode } from "../base/errors.ts";
import type { Ports } from "../base/ports.ts";
import type { Random } from "../base/random.ts";
import { failedWith } from "../base/system-errors.ts";
import { blake3 } from "../crypto/hash.ts";
import { type Disk, requireOwnFolder } from "./disk.ts";
import type { DurableFolder } from "./durable-folder.ts";
import type { WatchFile } from "./folder-watch.ts";
import type { Turn } from "./object-store.ts";
import { isGone, type ProcessIdentity, readOwnIdentity } from "./process-identity.ts";

export interface TurnsOptions extends Pick<Ports, "clock" | "random"> {
  readonly disk: Disk;
  /** The line's folder inside an existing folder; made if necessary. */
  readonly path: string;
  readonly folder: Pick<DurableFolder, "makeFolder">;
  /** Reports when a file disappears; may miss that, or call without it. */
  readonly watch: WatchFile;
}

/** A writer leaves a line that has not moved for this long … */
const TURN_WAIT_MS = 5_000;
/** … and any line after this long. */
const LONGEST_WAIT_MS = 30_000;
/** Places older than this count as abandoned: by the store's dates, since machines' clocks differ. */
const TURN_AGE_MS = 60_000;
/** How often the line is checked without hints … */
const LOOK_MS = 500;
/** … and how often if the last change was announced by a hint. */
const HEARING_LOOK_MS = 1_000;
/** Files made this much later get another date, unless the store's dates are whole seconds. */
const SAME_DATE_MS = 50;
/** After this many false hints, hints are ignored until the next check. */
const HINTS = 8;

interface PlaceInLine {
  readonly name: string;
  /** The store's date for it. */
  readonly madeMs: number;
}

export class Turns {
  readonly #options: TurnsOptions;
  /** Dates of the places at the last look. They never change: writers behind us now are ahead of us next time. */
  readonly #dates = new Map<string, number>();
  /** Whether the last freed place was announced: over a network only this machine's are. */
  #hears = false;
  #identity: Promise<ProcessIdentity> | undefined;

  constructor(options: TurnsOptions) {
    this.#options = options;
  }

  /**
   * Resolves at our turn, which lasts until the result is disposed; undefined: no turn this time. Rejects only like
   * `requireOwnFolder`.
   */
  async take(): Promise<Turn | undefined> {
    let name: string | undefined;
    try {
      name = await this.#join();
      const ahead = await this.#wait(name);
      if (ahead === undefined) void this.#leave(name);
      else return this.#turn(name, ahead > 0);
    } catch (cause) {
      if (hasCode(cause, "store_failed")) throw cause;
      // The swap will report whatever is wrong with the folder.
      if (name !== undefined) void this.#leave(name);
    }
    return undefined;
  }

  /** Removes all places except those of live processes on this machine; with `force`, those too. */
  async break(force: boolean): Promise<void> {
    await requireOwnFolder(this.#options.disk, this.#options.path);
    for (const place of await this.#line()) {
      if (force || !(await this.#isHere(place.name)) || (await this.#hasEnded(place))) await this.#leave(place.name);
    }
  }

  #turn(name: string, waited: boolean): Turn {
    return { waited, [Symbol.dispose]: () => void this.#leave(name) };
  }

  /** Joins the end of the line; returns the name of our place. */
  async #join(): Promise<string> {
    const { disk, random, path, folder } = this.#options;
    const name = placeName(random, await this.#identityOf());
    await requireOwnFolder(disk, path);
    const make = () => disk.open(join(path, name), "wx");
    const file = await make().catch(async (cause: unknown) => {
      if (!failedWith(cause, "ENOENT")) throw cause;
      await folder.makeFolder(path).catch(() => {});
      return make();
    });
    await file.close();
    return name;
  }

  /** How many were ahead when we joined; undefined: the wait was too long, or our place was removed. */
  async #wait(name: string): Promise<number | undefined> {
    const { clock } = this.#options;
    const joinedMs = clock.monotonicMs();
    let movedMs = joinedMs;
    let first: number | undefined;
    let head: string | undefined;
    let isKnown = false;
    for (;;) {
      const lookMs = clock.monotonicMs();
      const line = await this.#line(isKnown);
      const at = line.findIndex((place) => place.name === name);
      const [own, ahead] = [line[at], line[at - 1]];
      if (own === undefined) return undefined;
      first ??= at;
      // Later places come behind ours. One with our own date may sort before ours: by now it would be here.
      isKnown ||= lookMs - joinedMs >= SAME_DATE_MS && own.madeMs % 1_000 !== 0;
      if (ahead === undefined) return first;
      const now = clock.monotonicMs();
      if (now - joinedMs >= LONGEST_WAIT_MS) return undefined;
      const unmoved = line[0]?.name === head;
      if (!unmoved) movedMs = now;
      else if (now - movedMs >= TURN_WAIT_MS) return undefined;
      head = line[0]?.name;
      if (unmoved && line[0] !== undefined && (await this.#isGone(line[0], own.madeMs + now - joinedMs))) {
        await this.#leave(line[0].name);
      }
      const wentAway = await this.#untilGone(ahead.name);
      if (wentAway && isKnown && at === 1) return first;
    }
  }

  /** The places in the line, in order; `onlyKnown`: only those whose dates are known already. */
  async #line(onlyKnown = false): Promise<PlaceInLine[]> {
    const { disk, path } = this.#options;
    const names = await unless(["ENOENT", "ENOTDIR"], () => disk.readdir(path), []);
    const there = new Set(names);
    for (const name of this.#dates.keys()) if (!there.has(name)) this.#dates.delete(name);
    const places = await Promise.all(
      names
        .filter((name) => NAME.test(name) && (!onlyKnown || this.#dates.has(name)))
        .map(async (name): Promise<PlaceInLine | undefined> => {
          const madeMs = this.#dates.get(name) ?? (await this.#dateOf(name));
          if (madeMs === undefined) return undefined;
          this.#dates.set(name, madeMs);
          return { name, madeMs };
        }),
    );
    return places
      .filter((place) => place !== undefined)
      .toSorted((a, b) => a.madeMs - b.madeMs || (a.name < b.name ? -1 : 1));
  }

  /** Waits for a while until that place is free; returns whether it is. Hints may be missed or wrong, so it checks. */
  async #untilGone(name: string): Promise<boolean> {
    const { clock, random, path, watch } = this.#options;
    const lookMs = this.#hears ? HEARING_LOOK_MS : LOOK_MS;
    const endMs = clock.monotonicMs() + lookMs * (0.5 + random.fraction() / 2);
    for (let heard = 0; clock.monotonicMs() < endMs; heard++) {
      const hint = new AbortController();
      const listening = heard < HINTS ? watch(join(path, name), () => hint.abort()) : undefined;
      using _watch = listening === "absent" ? undefined : listening;
      // Without a watch the place may have gone since the last look; and a hint may have announced that.
      const mayBeGone = listening === undefined || heard > 0;
      if (listening === "absent" || (mayBeGone && (await this.#dateOf(name)) === undefined)) {
        this.#hears ||= heard > 0;
        return true;
      }
      await clock.sleep(endMs - clock.monotonicMs(), hint.signal).catch(() => {});
    }
    const isFree = (await this.#dateOf(name)) === undefined;
    if (isFree) this.#hears = false;
    return isFree;
  }

  async #isGone(place: PlaceInLine, storeNowMs: number): Promise<boolean> {
    return storeNowMs - place.madeMs > TURN_AGE_MS || this.#hasEnded(place);
  }

  /** Whether the process has certainly ended. */
  async #hasEnded({ name, madeMs }: PlaceInLine): Promise<boolean> {
    const own = await this.#identityOf();
    const [, , pid, started] = name.split("-");
    const holder = { ...own, pid: Number(pid), started: Number(started) };
    return (await this.#isHere(name)) && isGone(this.#options.disk, holder, own, () => madeMs);
  }

  async #isHere(name: string): Promise<boolean> {
    return name.split("-")[1] === hereOf(await this.#identityOf());
  }

  async #leave(name: string): Promise<void> {
    const { disk, path } = this.#options;
    // A leftover is removed by the writers waiting behind it.
    await disk.unlink(join(path, name)).catch(() => {});
  }

  async #dateOf(name: string): Promise<number | undefined> {
    const { disk, path } = this.#options;
    return unless(["ENOENT", "ENOTDIR"], async () => (await disk.stat(join(path, name))).mtimeMs);
  }

  #identityOf(): Promise<ProcessIdentity> {
    this.#identity ??= readOwnIdentity(this.#options.disk);
    return this.#identity;
  }
}

/** A random number, the process's environment, and the process in it. */
export function placeName(random: Pick<Random, "bytes">, own: ProcessIdentity): string {
  return `${Buffer.from(random.bytes(12)).toString("hex")}-${hereOf(own)}-${own.pid}-${own.started}`;
}

/** The boot of the machine, and the container: where process ids are comparable. */
function hereOf({ host, boot, namespace }: ProcessIdentity): string {
  return Buffer.from(blake3(Buffer.from(`${host}\0${boot}\0${namespace}`)).subarray(0, 8)).toString("hex");
}

const NAME = /^[0-9a-f]{24}-[0-9a-f]{16}-\d+-\d+$/;
