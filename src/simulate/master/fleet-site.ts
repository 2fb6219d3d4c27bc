/** A bucket at several masters without state of their own, on one arbiter and one object store. */
import { PACK_STATES } from "../../arbiter/arbiter.ts";
import { SqliteArbiter } from "../../arbiter/sqlite-arbiter.ts";
import { SynclineError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import { RetryReader } from "../../blocks/retry-reader.ts";
import { Bucket } from "../../bucket/bucket.ts";
import { verifyBucket } from "../../bucket/verify.ts";
import { objectOf } from "../../master/shared/pack-objects.ts";
import { OWNER } from "../beginning.ts";
import { CALM, type LineOptions } from "../disks/faulty-line.ts";
import { FaultCounts } from "../fault-counts.ts";
import { seededRandom } from "../seeded-random.ts";
import type { Server, Site } from "../site.ts";
import { Timeline } from "../timeline.ts";
import { BUCKET, fillMaster } from "./master-holding.ts";
import { MasterSite, type MasterSiteOptions } from "./master-site.ts";
import { MemoryMasterObjects } from "./memory-master-objects.ts";
import { SharedHost } from "./shared-host.ts";
import { SimulatedMaster } from "./simulated-master.ts";

interface Member {
  readonly master: SimulatedMaster;
  readonly host: SharedHost;
  readonly origin: string;
  /** Whether no agent can reach it. */
  isHidden: boolean;
}

export interface FleetSiteOptions extends MasterSiteOptions {
  /** Of the lines to the arbiter and to the store. */
  readonly line: Omit<LineOptions, "isDead" | "isCut" | "random">;
}

/** Creates a site whose masters are not started yet. */
export async function fleetSite(options: FleetSiteOptions): Promise<Site> {
  const { timeline, sabotage, plan, seed, line } = options;
  const nowMs = () => Number(timeline.nowNs() / 1_000_000n);
  const arbiter = new SqliteArbiter("", timeline);
  const objects = new MemoryMasterObjects(nowMs);
  await fillShared(arbiter, objects, options);
  const random = seededRandom(seed * 31 + 5);
  const members = Array.from({ length: plan.masters ?? 1 }, (_, which): Member => {
    const host = new SharedHost({
      arbiter,
      objects,
      leaseSeconds: plan.leaseSeconds,
      random,
      skewMs: (random.fraction() * 2 - 1) * DAY_MS,
      line: { ...line, random },
      isCredulous: sabotage === "masters that take a swap without an answer for done",
      onSwapped: (_name, root) => site.moved(root),
    });
    const compareAndSwap = sabotage !== "no compare-and-swap";
    const master = new SimulatedMaster({ timeline, random, owner: OWNER.wallet, compareAndSwap, host });
    return { master, host, origin: `http://127.0.0.${1 + which}:3600`, isHidden: false };
  });
  const onStart = async () => {
    const root = await arbiter.roots.get({ owner: OWNER.wallet, bucket: BUCKET });
    if (root !== undefined) await site.moved(root);
  };
  const server = new Fleet(members, random, line.counts, onStart);
  const site: MasterSite = new MasterSite(options, {
    masters: members.map((one) => ({ master: one.master, origin: one.origin, isHidden: () => one.isHidden })),
    server,
    audit: async () => {
      const { packs } = arbiter;
      const faults: string[] = [];
      for (const { pack, state } of (await packs.after(OWNER.wallet, 0)).entries) {
        const isThere = (await objects.of(OWNER.wallet).head(objectOf(pack))) !== undefined;
        if (state !== PACK_STATES.gone && !isThere) faults.push(`pack ${pack} is in the log, and not in the store`);
      }
      server.loseCaches();
      if (!(await server.start())) return ["the masters do not start"];
      const remote = site.served;
      const blocks = new RetryReader(remote.blocks, { clock: timeline, random });
      const bucket = await Bucket.open(remote, { blocks, checks: options.beginning.checks });
      const { damage } = await verifyBucket(bucket, { blocks });
      return [...faults, ...damage.map(({ what }) => `damage with new caches: ${what}`)];
    },
    dispose: () => arbiter[Symbol.asyncDispose](),
  });
  return site;
}

/** All masters as one server. A kill or power cut hits one of them; a kill may instead cut it off. */
class Fleet implements Server {
  readonly #members: readonly Member[];
  readonly #random: Random;
  readonly #counts: FaultCounts;
  readonly #onStart: () => Promise<void>;

  constructor(members: readonly Member[], random: Random, counts: FaultCounts, onStart: () => Promise<void>) {
    this.#members = members;
    this.#random = random;
    this.#counts = counts;
    this.#onStart = onStart;
  }

  get isRunning(): boolean {
    return this.#members.every(
      ({ master, host, isHidden }) => master.isRunning && !host.isCut.arbiter && !host.isCut.store && !isHidden,
    );
  }

  /** Reconnects masters that are cut off, and starts those that are not running. */
  async start(): Promise<boolean> {
    await this.#onStart();
    let areRunning = true;
    for (const member of this.#members) {
      Object.assign(member.host.isCut, { arbiter: false, store: false });
      member.isHidden = false;
      if (!member.master.isRunning && !(await member.master.start())) areRunning = false;
    }
    return areRunning;
  }

  kill(): void {
    const member = this.#any();
    const draw = this.#random.fraction();
    if (draw < KILLED) return member.master.kill();
    this.#counts.count("master cut off");
    if (draw < CUT_FROM_ARBITER) member.host.isCut.arbiter = true;
    else if (draw < CUT_FROM_STORE) member.host.isCut.store = true;
    else member.isHidden = true;
  }

  cutPower(): void {
    this.#any().master.cutPower();
  }

  fillDisk(): void {}

  loseCaches(): void {
    for (const { master } of this.#members) master.cutPower();
  }

  #any(): Member {
    const member = this.#members[Math.floor(this.#random.fraction() * this.#members.length)];
    if (member === undefined) throw new SynclineError("internal", "A fleet needs masters.");
    return member;
  }
}

/** Puts the history's start into the arbiter and the store, through a master made only for this. */
async function fillShared(
  arbiter: SqliteArbiter,
  objects: MemoryMasterObjects,
  { start }: MasterSiteOptions,
): Promise<void> {
  const timeline = new Timeline();
  const random = seededRandom(1);
  const host = new SharedHost({
    arbiter,
    objects,
    leaseSeconds: undefined,
    random,
    skewMs: 0,
    line: { clock: timeline, random, counts: new FaultCounts(), chances: () => CALM, onLate: () => {} },
    isCredulous: false,
    onSwapped: async () => {},
  });
  using master = new SimulatedMaster({ timeline, random, owner: OWNER.wallet, compareAndSwap: true, host });
  await timeline.run(fillMaster(master, OWNER.wallet, start.blocks, start.commits));
}

const DAY_MS = 24 * 60 * 60 * 1000;
/** The fractions of kills that are kills, and that cut a master off, summed up. */
const [KILLED, CUT_FROM_ARBITER, CUT_FROM_STORE] = [0.4, 0.6, 0.8];
