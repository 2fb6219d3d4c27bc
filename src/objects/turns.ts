/**
 * A line in which the writers of a folder may wait for one another: each has an empty file in `turns/` while he waits and while it is
 * his turn, and they go in the order of the store's own dates. Advisory: nothing that is stored depends on it, and whoever waits in
 * vain, or cannot wait here, goes on without a turn.
 *
 * A file's name says whose it is, for writing that into it would change its date, and two could wait for one another. No two files
 * ever have one name, so that whoever removes the file of one who is gone cannot hit another's.
 */
import { join } from "node:path";
import type { Clock } from "../base/clock.ts";
import type { Random } from "../base/random.ts";
import { failedWith } from "../base/system-errors.ts";
import { blake3 } from "../crypto/hash.ts";
import { type Disk } from "./disk.ts";
import type { WatchFile } from "./folder-watch.ts";
import type { Turn } from "./object-store.ts";
import { isGone, type ProcessIdentity, readOwnIdentity } from "./process-identity.ts";

export interface TurnsOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly random: Random;
  /** Of the line, in a folder that is there: made if need be. */
  readonly path: string;
  /** Hears when a file goes; it may miss that, or call without it. */
  readonly watch: WatchFile;
}

/** A line that does not move for so long is waited in no longer … */
const TURN_WAIT_MS = 5_000;
/** … nor is one that does, for so long. */
const LONGEST_WAIT_MS = 30_000;
/** Of whom nobody can tell whether he is gone: by the store's dates, since machines' clocks differ. */
const TURN_AGE_MS = 60_000;
/** How often it is looked at what was not heard … */
const LOOK_MS = 500;
/** … and how often where what happened last was heard. */
const HEARING_LOOK_MS = 1_000;
/** What is made so much later has another date, unless the store's dates are whole seconds. */
const SAME_DATE_MS = 50;
/** Of so many hints for nothing no more are listened to until then. */
const HINTS = 8;

interface Place {
  readonly name: string;
  /** The store's date of it. */
  readonly madeMs: number;
}

export class Turns {
  readonly #options: TurnsOptions;
  /** The dates of places that were there at the last look. They do not change: those who come behind us are before us the next time. */
  readonly #dates = new Map<string, number>();
  /** Whether it was heard of the last place that became free: over a network only this machine's are. */
  #hears = false;
  #identity: Promise<ProcessIdentity> | undefined;

  constructor(options: TurnsOptions) {
    this.#options = options;
  }

  /** Resolves when it is our turn, which ends when the answer is disposed; undefined: not this time. Never rejects. */
  async take(): Promise<Turn | undefined> {
    let name: string | undefined;
    try {
      name = await this.#join();
      const ahead = await this.#wait(name);
      if (ahead === undefined) void this.#leave(name);
      else return this.#turn(name, ahead > 0);
    } catch {
      // Whatever is wrong with the folder, the swap will say.
      if (name !== undefined) void this.#leave(name);
    }
    return undefined;
  }

  /** Removes the places of all whose processes do not run on this machine; of those, too, with `force`. */
  async break(force: boolean): Promise<void> {
    for (const place of await this.#line()) {
      if (force || !(await this.#isHere(place.name)) || (await this.#hasEnded(place))) await this.#leave(place.name);
    }
  }

  #turn(name: string, waited: boolean): Turn {
    return { waited, [Symbol.dispose]: () => void this.#leave(name) };
  }

  /** Goes to the end of the line; the name of our place in it. */
  async #join(): Promise<string> {
    const { disk, random, path } = this.#options;
    const name = placeName(random, await this.#identityOf());
    const make = () => disk.open(join(path, name), "wx");
    const file = await make().catch(async (cause: unknown) => {
      if (!failedWith(cause, "ENOENT")) throw cause;
      await disk.mkdir(path).catch(() => {});
      return make();
    });
    await file.close();
    return name;
  }

  /** How many were ahead of us when we came; undefined: it was waited for too long, or our place was removed. */
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
      // Whoever comes later is behind us. One of our own date may have to be before us: such ones are there by now.
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

  /** Those who are in the line, in order; `onlyKnown`: only those whose dates are known already. */
  async #line(onlyKnown = false): Promise<Place[]> {
    const { disk, path } = this.#options;
    const names = await disk.readdir(path).catch((cause: unknown) => {
      if (failedWith(cause, "ENOENT", "ENOTDIR")) return [];
      throw cause;
    });
    const there = new Set(names);
    for (const name of this.#dates.keys()) if (!there.has(name)) this.#dates.delete(name);
    const places = await Promise.all(
      names
        .filter((name) => NAME.test(name) && (!onlyKnown || this.#dates.has(name)))
        .map(async (name): Promise<Place | undefined> => {
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

  /** Until that place is free, but not long: what is heard is a hint, and hearing may fail. Whether it is known to be free. */
  async #untilGone(name: string): Promise<boolean> {
    const { clock, random, path, watch } = this.#options;
    const lookMs = this.#hears ? HEARING_LOOK_MS : LOOK_MS;
    const endMs = clock.monotonicMs() + lookMs * (0.5 + random.fraction() / 2);
    for (let heard = 0; clock.monotonicMs() < endMs; heard++) {
      const hint = new AbortController();
      const listening = heard < HINTS ? watch(join(path, name), () => hint.abort()) : undefined;
      using _watch = listening === "absent" ? undefined : listening;
      // Where nobody listens it may have gone since the line was looked at; and a hint may have been of that.
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

  async #isGone(place: Place, storeNowMs: number): Promise<boolean> {
    return storeNowMs - place.madeMs > TURN_AGE_MS || this.#hasEnded(place);
  }

  /** Whether it can be told that the process has ended. */
  async #hasEnded({ name, madeMs }: Place): Promise<boolean> {
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
    // What stays is removed by those who wait behind it.
    await disk.unlink(join(path, name)).catch(() => {});
  }

  async #dateOf(name: string): Promise<number | undefined> {
    const { disk, path } = this.#options;
    try {
      return (await disk.stat(join(path, name))).mtimeMs;
    } catch (cause) {
      if (failedWith(cause, "ENOENT", "ENOTDIR")) return undefined;
      throw cause;
    }
  }

  #identityOf(): Promise<ProcessIdentity> {
    this.#identity ??= readOwnIdentity(this.#options.disk);
    return this.#identity;
  }
}

/** A random number, where the process runs, and the process there. */
export function placeName(random: Pick<Random, "bytes">, own: ProcessIdentity): string {
  return `${Buffer.from(random.bytes(12)).toString("hex")}-${hereOf(own)}-${own.pid}-${own.started}`;
}

/** The machine since its start, and the container: where a process id means what it means here. */
function hereOf({ host, boot, namespace }: ProcessIdentity): string {
  return Buffer.from(blake3(Buffer.from(`${host}\0${boot}\0${namespace}`)).subarray(0, 8)).toString("hex");
}

const NAME = /^[0-9a-f]{24}-[0-9a-f]{16}-\d+-\d+$/;
