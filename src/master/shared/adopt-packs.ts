/** Enters packs of the store that the log does not name, after the log was lost or rolled back. */
import type { Arbiter, NewPack } from "../../arbiter/arbiter.ts";
import { mapConcurrent } from "../../base/concurrency.ts";
import { unlessDamaged } from "../../base/errors.ts";
import type { Wallet } from "../../base/ids.ts";
import { STORE_CONCURRENCY } from "../../base/limits.ts";
import { describeError } from "../../base/log.ts";
import type { Ports } from "../../base/ports.ts";
import type { ObjectStore } from "../../objects/object-store.ts";
import { readFooter } from "../../packs/pack-footer.ts";
import { readLog } from "./pack-log.ts";
import { type MasterObjects, objectOf, packOf } from "./pack-objects.ts";

const AT_ONCE = 1_000;
/** Each try lists the whole store. */
const [AGAIN_MS, LATEST_MS] = [1_000, 30_000];

export interface AdoptionOptions extends Pick<Ports, "clock" | "log"> {
  readonly arbiter: Pick<Arbiter, "packs">;
  readonly objects: MasterObjects;
}

/** Enters the lost packs of all owners, in the background until that has succeeded. */
export class PackAdoption implements Disposable {
  readonly #options: AdoptionOptions;
  readonly #ended = new AbortController();
  #running = 0;

  constructor(options: AdoptionOptions) {
    this.#options = options;
  }

  /** Blocks that seem to be missing may be in packs that are not entered yet. */
  get isRunning(): boolean {
    return this.#running > 0;
  }

  /** Throws `arbiter_unreachable`, and the store's errors. */
  async run(): Promise<void> {
    const { arbiter, objects, log } = this.#options;
    const owners = new Set([...(await arbiter.packs.owners()), ...(await objects.owners())]);
    for (const owner of owners) {
      const packs = await adoptPacks(arbiter, owner, objects.of(owner));
      if (packs > 0) log.info("entered packs that the log had lost", { owner, packs });
    }
  }

  begin(): void {
    void this.#untilDone();
  }

  [Symbol.dispose](): void {
    this.#ended.abort();
  }

  async #untilDone(): Promise<void> {
    const { clock, log } = this.#options;
    const { signal } = this.#ended;
    this.#running++;
    for (let waitMs = AGAIN_MS; !signal.aborted; waitMs = Math.min(2 * waitMs, LATEST_MS)) {
      try {
        await this.run();
        break;
      } catch (error) {
        log.warn("cannot enter packs that the log lost: trying again", { error: describeError(error) });
      }
      await clock.sleep(waitMs, signal).catch(() => {});
    }
    this.#running--;
  }
}

/** Returns how many were entered. Packs without a valid footer are left alone; those given up before stay so. */
export async function adoptPacks(
  arbiter: Pick<Arbiter, "packs">,
  owner: Wallet,
  objects: ObjectStore,
): Promise<number> {
  const named = await readLog(arbiter, owner);
  const found: string[] = [];
  for await (const { name } of objects.list("pack/")) {
    const pack = packOf(name);
    if (pack !== undefined && !named.has(pack)) found.push(pack);
  }
  let adopted = 0;
  for (let at = 0; at < found.length; at += AT_ONCE) {
    const packs = await mapConcurrent(found.slice(at, at + AT_ONCE), STORE_CONCURRENCY, (pack) =>
      packIn(objects, pack),
    );
    const add = packs.filter((pack) => pack !== undefined);
    const { nowMs } = await arbiter.packs.after(owner, Number.MAX_SAFE_INTEGER);
    const live = await arbiter.packs.change(owner, { add, condemn: [], begunMs: nowMs, patienceMs: 60_000 });
    adopted += live.size;
  }
  return adopted;
}

function packIn(objects: ObjectStore, pack: string): Promise<NewPack | undefined> {
  return unlessDamaged(async () => {
    const { shape } = await readFooter((length) => objects.getTail(objectOf(pack), length));
    return { pack, bytes: shape.size, rows: shape.rows };
  });
}
