/** A bucket at masters that machines share: the real code of masters and their clients, over a simulated network. */
import { withKnownGenesis } from "../../agent/open-bucket.ts";
import { SynclineError } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import { blockNotFound } from "../../blocks/not-found.ts";
import { RetryReader } from "../../blocks/retry-reader.ts";
import { VerifiedReader } from "../../blocks/verified-reader.ts";
import { Bucket } from "../../bucket/bucket.ts";
import { collectAtMaster } from "../../bucket/http/collect-at-master.ts";
import { HttpRemote } from "../../bucket/http/http-remote.ts";
import type { LocalBlocks } from "../../bucket/http/http-upload.ts";
import type { BucketRemote } from "../../bucket/remote.ts";
import { decodeCar } from "../../format/blocks/car.ts";
import type { Answer } from "../../master/http/route.ts";
import { auditData } from "../../master/store/audit.ts";
import { walletBearer } from "../../net/bearer.ts";
import { MasterConnection } from "../../net/master-connection.ts";
import { Masters } from "../../net/masters.ts";
import { rootFrom } from "../../roots/http-root-store.ts";
import type { Root } from "../../roots/root-store.ts";
import { OWNER } from "../beginning.ts";
import { ruleOf } from "../collecting.ts";
import { FaultCounts } from "../fault-counts.ts";
import type { SiteOptions } from "../object-site.ts";
import type { MasterPlan } from "../planned-site.ts";
import { SimulatedProcess } from "../process.ts";
import { seededRandom } from "../seeded-random.ts";
import { CALM } from "../disks/faulty-line.ts";
import type { Reach, Server, Site, Way } from "../site.ts";
import { BUCKET } from "./master-holding.ts";
import { DATA, FolderHost } from "./folder-host.ts";
import { type MasterRequest, SimulatedMaster } from "./simulated-master.ts";
import { simulatedDispatcher } from "./simulated-network.ts";

export interface MasterSiteOptions extends SiteOptions {
  readonly plan: MasterPlan;
  readonly seed: number;
}

/** Creates a site whose master is not started yet. */
export async function masterSite(options: MasterSiteOptions): Promise<Site> {
  const { timeline, sabotage, plan, seed, start } = options;
  const random = seededRandom(seed * 31 + 5);
  const host = new FolderHost({
    random,
    leaseSeconds: plan.leaseSeconds,
    forgetsSyncs: sabotage === "a master whose disk does not sync",
    data: await start.master(),
  });
  const compareAndSwap = sabotage !== "no compare-and-swap";
  const master = new SimulatedMaster({ timeline, random, owner: OWNER.wallet, compareAndSwap, host });
  const site: MasterSite = new MasterSite(options, {
    masters: [{ master, origin: "http://127.0.0.1:3600", isHidden: () => false }],
    server: {
      get isRunning() {
        return master.isRunning;
      },
      // The table may hold a root that the master told no client before it died.
      start: async () => {
        if (!(await master.start())) return false;
        const root = await master.parts?.roots.get({ owner: OWNER.wallet, bucket: BUCKET });
        if (root !== undefined) await site.moved(root);
        return true;
      },
      kill: () => master.kill(),
      cutPower: () => master.cutPower(),
      fillDisk: (isFull) => master.fillDisk(isFull),
    },
    // As `syncline verify --data` does.
    audit: async () => {
      master.kill();
      const { disk, databases } = host.data();
      const { damage } = await auditData({ dir: DATA, disk, databases, onBytes: () => {} });
      databases.close();
      return damage.map(({ what }) => `damage at the master: ${what}`);
    },
  });
  return site;
}

/** One of the masters of a site. */
interface SiteMaster {
  readonly master: SimulatedMaster;
  readonly origin: string;
  /** Whether no agent can reach it now. */
  readonly isHidden: () => boolean;
}

interface SiteParts {
  readonly masters: readonly SiteMaster[];
  readonly server: Server;
  audit(): Promise<string[]>;
  readonly dispose?: () => unknown;
}

export class MasterSite implements Site {
  readonly checked: BucketRemote;
  readonly #options: MasterSiteOptions;
  readonly #parts: SiteParts;
  /** All blocks that ever arrived, even if the master no longer has them. */
  readonly #blocks: Map<Cid, Uint8Array>;
  #root: Root | undefined;
  /** Each remote begins with another master. */
  #remotes = 0;

  constructor(options: MasterSiteOptions, parts: SiteParts) {
    this.#parts = parts;
    this.#options = options;
    this.#blocks = new Map(options.start.blocks);
    this.checked = this.#seen();
  }

  get server(): Server {
    return this.#parts.server;
  }

  get served(): BucketRemote {
    const { timeline } = this.#options;
    const process = new SimulatedProcess(timeline, 0);
    const nothing = () => {};
    return this.#remote(
      {
        process,
        random: seededRandom(1),
        counts: new FaultCounts(),
        chances: () => CALM,
        isCut: () => false,
        onLate: nothing,
        onMissingReply: nothing,
      },
      undefined,
    );
  }

  reach(way: Way): Reach {
    const { genesis, checks } = this.#options.beginning;
    return {
      open: ({ local }) => this.#remote(way, local),
      collect: async ({ clock, random, writer }) => {
        const remote = this.#remote(way, undefined);
        const blocks = new RetryReader(new VerifiedReader(remote.blocks), { clock, random });
        const bucket = await Bucket.open(withKnownGenesis(remote, genesis.bytes), { blocks, checks });
        return collectAtMaster(remote, {
          bucket,
          writer,
          clock,
          random,
          dryRun: false,
          ...ruleOf(this.#options.sabotage),
        });
      },
    };
  }

  audit(): Promise<string[]> {
    return this.#parts.audit();
  }

  /** Notes a root that was swapped in, before any process learns of it. */
  async moved(root: Root): Promise<void> {
    if (root.version <= (this.#root?.version ?? 0)) return;
    this.#root = root;
    await this.#options.moved();
  }

  [Symbol.dispose](): void {
    for (const { master } of this.#parts.masters) master[Symbol.dispose]();
    void this.#parts.dispose?.();
  }

  #remote(way: Way, local: LocalBlocks | undefined): HttpRemote {
    const { clock } = way.process;
    const { random } = way;
    const bearer = walletBearer(async () => OWNER, clock);
    const connections = this.#parts.masters.map(
      (one) => new MasterConnection(one.origin, { bearer, clock, dispatcher: this.#dispatcher(way, one) }),
    );
    const first = this.#remotes++ % connections.length;
    const inOrder = [...connections.slice(first), ...connections.slice(0, first)];
    const never = () => {
      throw new SynclineError("internal", "Simulated masters name no others.");
    };
    const master = new Masters(inOrder, clock, { random, connect: never });
    return new HttpRemote({ address: ADDRESS, master, name: { owner: "", bucket: BUCKET }, local, clock, random });
  }

  #dispatcher({ isCut, ...way }: Way, { master, isHidden }: SiteMaster) {
    return simulatedDispatcher({
      ...way,
      isCut: () => isCut() || isHidden(),
      master,
      clock: this.#options.timeline,
      onArrived: (request) => this.#arrived(request, master),
      onServed: (request, answer) => this.#served(request, answer),
    });
  }

  /** A master that dies during an upload may have stored its blocks, and no client sends them again. */
  async #arrived({ method, path, body }: MasterRequest, { isRunning }: SimulatedMaster): Promise<void> {
    if (method === "POST" && path === "/v1/blocks" && isRunning) await this.#keep(body);
  }

  async #served({ method }: MasterRequest, { status, json }: Answer): Promise<void> {
    if (method === "PUT" && status === 200) await this.moved(rootFrom(json));
  }

  async #keep(body: Uint8Array): Promise<void> {
    const pieces = (async function* () {
      yield new Uint8Array(body);
    })();
    for await (const section of decodeCar(pieces))
      if (section.kind === "block") this.#blocks.set(section.cid, new Uint8Array(section.bytes));
  }

  #seen(): BucketRemote {
    const get = async (cid: Cid) => {
      const bytes = this.#blocks.get(cid);
      if (bytes === undefined) throw blockNotFound(cid);
      return bytes;
    };
    const getMany = async (cids: readonly Cid[]) => {
      const found = new Map<Cid, Uint8Array>();
      for (const cid of cids) found.set(cid, await get(cid));
      return found;
    };
    const never = () => {
      throw new SynclineError("internal", "A checker must not write.");
    };
    return {
      address: ADDRESS,
      readGenesis: async () => this.#options.beginning.genesis.bytes,
      readRoot: async () => this.#root,
      blocks: { get, getMany },
      create: never,
      beginUpload: never,
      watch: never,
      [Symbol.asyncDispose]: async () => {},
    };
  }
}

const ADDRESS = `http://127.0.0.1:3600/${BUCKET}`;
