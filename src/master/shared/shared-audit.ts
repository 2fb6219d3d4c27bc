/**
 * Checks what masters without state of their own share (`syncline verify --arbiter`): every block of every pack in the log
 * against its hash, the log against the store, and that each root reaches only stored blocks. It changes nothing.
 *
 * Masters may run meanwhile. Roots are read before the log, which then names all that they reach. Damage counts only if no
 * pack was given up while it was found; otherwise the owner is examined again, without hashing packs twice.
 */
import { addAll } from "../../base/collections.ts";
import { type Arbiter, type LogEntry, PACK_STATES } from "../../arbiter/arbiter.ts";
import { mapConcurrent } from "../../base/concurrency.ts";
import { hasCode, isDamage } from "../../base/errors.ts";
import type { Wallet } from "../../base/ids.ts";
import { describeError } from "../../base/log.ts";
import type { PackRow } from "../../format/blocks/pack.ts";
import type { ObjectStore } from "../../objects/object-store.ts";
import { type BadRow, badRows, type PackBytes } from "../../packs/block-check.ts";
import { readFooter } from "../../packs/pack-footer.ts";
import { allRoots, type RootRow } from "../../roots/root-store.ts";
import { PACK_READS } from "../limits.ts";
import { type DataReport, isSuperseded } from "../store/audit.ts";
import { type BlockIndex, temporaryIndex } from "../store/block-index.ts";
import { type DataDamage, dataDamage } from "../store/damage.ts";
import { enterRows } from "../store/pack-audit.ts";
import { auditReach } from "../store/reach-audit.ts";
import { FOOTER_GUESS_BYTES } from "./log-follower.ts";
import { type MasterObjects, objectOf, packOf, PAST_OBJECT } from "./pack-objects.ts";
import { logFaults, readLog } from "./pack-log.ts";
import { SharedReader, unlessGone, Windows } from "./shared-reader.ts";

export interface SharedAuditOptions {
  readonly arbiter: Pick<Arbiter, "packs" | "roots" | "incarnation">;
  readonly objects: MasterObjects;
  /** Called with the size of the packs to be hashed, including footers. */
  readonly onTotal?: (bytes: number) => void;
  /** Called with the number of bytes hashed since the last call. */
  readonly onBytes: (bytes: number) => void;
}

export interface SharedReport extends DataReport {
  /** Objects that no log names: uploads under way, and leftovers that a collection deletes. */
  readonly orphans: number;
}

/** Memory: some 300 bytes a pack, 100 a node. Throws the arbiter's and the store's errors, except for lost or damaged packs. */
export async function auditShared(options: SharedAuditOptions): Promise<SharedReport> {
  const { arbiter, objects, onTotal } = options;
  const owners = [...new Set([...(await arbiter.packs.owners()), ...(await objects.owners())])].toSorted();
  if (onTotal !== undefined) onTotal(await sizeOfPacks(options, owners));
  const report = { owners: owners.length, buckets: 0, packs: 0, blocks: 0, bytes: 0, orphans: 0 };
  const damage: DataDamage[] = await accepted(options);
  for (const owner of owners) {
    const part = await new OwnerAudit(options, owner).run();
    for (const count of ["buckets", "packs", "blocks", "bytes", "orphans"] as const) report[count] += part[count];
    addAll(
      damage,
      part.damage.map((item) => Object.assign({}, item, { owner })),
    );
  }
  return { ...report, damage };
}

async function sizeOfPacks({ arbiter }: SharedAuditOptions, owners: readonly Wallet[]): Promise<number> {
  let bytes = 0;
  for (const owner of owners) for (const entry of await storedPacks(arbiter, owner)) bytes += entry.bytes;
  return bytes;
}

/** Live and condemned packs. */
async function storedPacks(arbiter: Pick<Arbiter, "packs">, owner: Wallet): Promise<LogEntry[]> {
  return [...(await readLog(arbiter, owner)).values()].filter(({ state }) => state !== PACK_STATES.gone);
}

async function accepted({ arbiter, objects }: SharedAuditOptions): Promise<DataDamage[]> {
  const there = await objects.top.get(PAST_OBJECT);
  const text = there && Buffer.from(there.bytes).toString("utf8");
  if (text === (await arbiter.incarnation())) return [];
  const what =
    text === undefined
      ? "the store names no arbiter: no master has used it"
      : "the store belongs to another arbiter, or this one was restored: check both addresses, and after a restore start once with `syncline serve --accept-roots`";
  return [dataDamage("log", what)];
}

type OwnerReport = Omit<SharedReport, "owners">;

interface Verdict {
  readonly bad: readonly BadRow[];
}

class OwnerAudit {
  readonly #options: SharedAuditOptions;
  readonly #owner: Wallet;
  readonly #objects: ObjectStore;
  /** Packs that were hashed. */
  readonly #verdicts = new Map<string, Verdict>();

  constructor(options: SharedAuditOptions, owner: Wallet) {
    this.#options = options;
    this.#owner = owner;
    this.#objects = options.objects.of(owner);
  }

  async run(): Promise<OwnerReport> {
    const { arbiter } = this.#options;
    for (;;) {
      const { report, packs } = await this.#examine();
      if (report.damage.length === 0) return report;
      const log = await readLog(arbiter, this.#owner);
      const isGone = ({ pack }: LogEntry) => (log.get(pack)?.state ?? PACK_STATES.gone) === PACK_STATES.gone;
      if (!packs.some(isGone)) return report;
    }
  }

  async #examine() {
    const { arbiter } = this.#options;
    const damage: DataDamage[] = [];
    const roots = await this.#roots(damage);
    const objects = new Set<string>();
    for await (const { name } of this.#objects.list("pack/")) objects.add(packOf(name) ?? name);
    const packs = await storedPacks(arbiter, this.#owner);
    const { position } = await arbiter.packs.after(this.#owner, Number.MAX_SAFE_INTEGER);
    for (const entry of packs) objects.delete(entry.pack);
    const found = temporaryIndex();
    try {
      await mapConcurrent(packs, PACK_READS, async (entry) => {
        addAll(damage, [...logFaults(entry, position), ...(await this.#pack(entry, found))]);
      });
      const left = damage.filter((item) => !isSuperseded(item, found));
      addAll(left, await this.#reach(roots, packs, found));
      const counts = { buckets: roots.length, packs: packs.length, orphans: objects.size };
      return { report: { ...counts, ...found.totals(), damage: left }, packs };
    } finally {
      found.close();
    }
  }

  async #roots(damage: DataDamage[]): Promise<RootRow[]> {
    try {
      return await allRoots(this.#options.arbiter.roots, this.#owner);
    } catch (error) {
      if (!hasCode(error, "store_corrupt")) throw error;
      damage.push(dataDamage("roots", `a root cannot be read: ${describeError(error)}`));
      return [];
    }
  }

  /** Enters the pack's blocks in `found`. */
  async #pack({ pack, bytes, rows: count, state }: LogEntry, found: BlockIndex): Promise<DataDamage[]> {
    const name = objectOf(pack);
    const where = { pack };
    let size = 0;
    let rows: PackRow[];
    try {
      const tail = async (length: number) => {
        const end = await this.#objects.getTail(name, length);
        size = end.size;
        return end;
      };
      rows = [...(await readFooter(tail, FOOTER_GUESS_BYTES)).footer];
    } catch (error) {
      // It is garbage, unless a root reaches it: then the root shows as damaged.
      if (isDamage(error) && state === PACK_STATES.condemned) return [];
      if (hasCode(error, "object_not_found")) {
        return [dataDamage("pack", "the pack is missing in the store", where)];
      }
      if (!isDamage(error)) throw error;
      const cut =
        size === bytes || !hasCode(error, "format_invalid") ? "" : ` It has ${size} bytes instead of ${bytes}.`;
      return [dataDamage("footer", `${error.message}${cut}`, where)];
    }
    const damage: DataDamage[] = [];
    if (size !== bytes || rows.length !== count) {
      const what = `the log says ${bytes} bytes and ${count} blocks, the pack has ${size} and ${rows.length}`;
      damage.push(dataDamage("log", what, where));
    }
    const verdict = this.#verdicts.get(pack) ?? { bad: await this.#badRows(name, size, rows) };
    this.#verdicts.set(pack, verdict);
    return [...damage, ...enterRows(found, pack, rows, verdict.bad)];
  }

  /** Throws the store's errors: a block that cannot be asked for is not damaged. */
  async #badRows(name: string, size: number, rows: readonly PackRow[]): Promise<BadRow[]> {
    let failed: Error | undefined;
    const file: PackBytes = {
      read: async (offset, length) => {
        if (failed !== undefined) throw failed;
        const range = { offset, length: Math.max(0, Math.min(length, size - offset)) };
        try {
          return (await this.#objects.getRanges(name, [range]))[0] ?? new Uint8Array();
        } catch (error) {
          if (!hasCode(error, "object_not_found", "block_corrupt")) failed = error as Error;
          throw error;
        }
      },
    };
    const bad = await badRows(file, rows, this.#options.onBytes);
    if (failed !== undefined) throw failed;
    return bad;
  }

  async #reach(roots: readonly RootRow[], packs: readonly LogEntry[], found: BlockIndex): Promise<DataDamage[]> {
    const sizes = new Map(packs.map(({ pack, bytes }) => [pack, bytes]));
    const reader = new SharedReader({
      objects: this.#objects,
      windows: new Windows(),
      sizeOf: (pack) => sizes.get(pack) ?? 0,
    });
    const walked = new Set<string>();
    const damage: DataDamage[] = [];
    for (const { bucket, commit } of roots) {
      const walk = { read: (place: Parameters<SharedReader["node"]>[0]) => unlessGone(() => reader.node(place)) };
      for (const { cid, what } of await auditReach({ ...walk, found, walked }, commit)) {
        damage.push(dataDamage("missing", what, { bucket, root: commit, cid }));
      }
    }
    return damage;
  }
}
