/** `syncline rescue`: finds buckets in a store of packs when roots and log are lost, and puts their roots back. */
import { Budget } from "../../base/budget.ts";
import { SynclineError } from "../../base/errors.ts";
import type { Cid, Wallet } from "../../base/ids.ts";
import { describeError, silentLog } from "../../base/log.ts";
import { TimeSlice } from "../../base/time-slice.ts";
import { shellWord } from "../../base/names.ts";
import type { Arbiter } from "../../arbiter/arbiter.ts";
import { isBucketName } from "../../bucket/address.ts";
import { parseCid } from "../../format/blocks/cid.ts";
import { WALK_SLICE_MS, WALKS_BYTES } from "../../master/limits.ts";
import { adoptPacks } from "../../master/shared/adopt-packs.ts";
import { createRoot } from "../../master/shared/create-root.ts";
import { requireItsStore } from "../../master/shared/its-store.ts";
import type { MasterObjects } from "../../master/shared/pack-objects.ts";
import { type FoundBucket, rescueOwner, rescuedName } from "../../master/shared/rescue.ts";
import { SharedStores } from "../../master/shared/shared-stores.ts";
import { systemDatabases } from "../../objects/databases.ts";
import { allRoots } from "../../roots/root-store.ts";
import { type Call, command } from "../command.ts";
import type { ExitStatus } from "../exit-status.ts";
import { printCount } from "../terminal/text.ts";
import { openArbiter } from "./master-storage.ts";

type RescueCall = Call<"arbiter" | "put" | "name">;

const EXAMPLE = "postgres://syncline@db.example/syncline";

export const register = command({
  name: "rescue",
  arguments: [["<store>", "the masters' store of packs, as serve --store"]],
  summary: "find buckets in a store of packs when the arbiter is lost; --put creates their roots, replacing none",
  options: ["arbiter", "put", "name"],
  examples: [
    "syncline rescue s3://packs/main",
    `syncline rescue file:///srv/packs --arbiter ${EXAMPLE} --put --name photos=bafyr4ib4r5r6xnlrq6nvu7vcuq7wlrxcgo2wqaxq7h5mbcsbqxtxxkyfku`,
  ],
  exits: [4, 5, 6, 8],
  run: rescue,
});

/** What happened to a bucket's root. */
type Put = "listed" | "created" | "there" | "other name" | "name taken" | "ambiguous" | "incomplete";

const STATUSES: Readonly<Record<Put, ExitStatus>> = {
  listed: 0,
  created: 0,
  there: 0,
  "other name": 4,
  "name taken": 4,
  ambiguous: 4,
  incomplete: 8,
};

/** To be settled by a choice. */
const OPEN: ReadonlySet<Put> = new Set<Put>(["name taken", "ambiguous"]);
const DO_NOT_SERVE =
  "Do not serve yet: what a bucket without a root holds would become garbage. Choose with `--name NAME=COMMIT`, then run this again.";
const LOST =
  "No commit of some buckets is complete, so they get no root. If you serve, what they hold becomes garbage: put missing packs back first.";

async function rescue(call: RescueCall): Promise<ExitStatus> {
  const { args, options, output, runtime } = call;
  const { arbiter: url, put = false } = options;
  if (put && url === undefined) throw new SynclineError("usage", "--put needs --arbiter URL, where the roots go.");
  const names = namesOf(options.name ?? []);
  const { openMasterObjects } = await import("../../master/shared/open-objects.ts");
  await using objects = await openMasterObjects(args[0] ?? "", runtime);
  const owners = await objects.owners();
  if (owners.length === 0) throw new SynclineError("no_such_path", `${objects.address} has no packs of a master.`);
  await using arbiter = url === undefined ? undefined : await openArbiter(url, runtime, silentLog);
  if (put && arbiter !== undefined) await requireItsStore(arbiter, objects);
  let status: ExitStatus = 0;
  let unsettled = 0;
  let lost = 0;
  const used = new Set<Cid>();
  const found: { owner: Wallet; buckets: { bucket: FoundBucket; chosen: Chosen }[] }[] = [];
  for (const owner of owners) {
    const { buckets, unsigned, unreadable } = await search(call, objects, owner);
    if (unsigned > 0) output.notice(`${owner}: ${printCount(unsigned, "commit")} without a valid signature.`);
    if (unreadable > 0) output.notice(`${owner}: ${printCount(unreadable, "pack")} without a valid footer.`);
    if (unreadable > 0) status = 8;
    found.push({ owner, buckets: buckets.map((bucket) => ({ bucket, chosen: choose(bucket, names, used) })) });
  }
  // Before anything is put: a root that is there keeps its name.
  const unused = [...names.keys()].find((cid) => !used.has(cid));
  if (unused !== undefined) {
    throw new SynclineError("no_such_root", `--name: no bucket has the genesis or commit ${unused}.`);
  }
  for (const { owner, buckets } of found) {
    if (put && arbiter !== undefined) await adoptPacks(arbiter, owner, objects.of(owner));
    for (const { bucket, chosen } of buckets) {
      const done = await settle(call, { arbiter, objects, owner }, bucket, chosen);
      status = Math.max(status, STATUSES[done.put], bucket.listed[0]?.complete === true ? 0 : 8) as ExitStatus;
      if (OPEN.has(done.put)) unsettled++;
      if (done.put === "incomplete") lost++;
      show(call, owner, bucket, done);
    }
  }
  const buckets = found.reduce((sum, each) => sum + each.buckets.length, 0);
  const summary = `${printCount(buckets, "bucket")} of ${printCount(owners.length, "owner")}.`;
  output.result({ owners: owners.length, buckets }, summary);
  if (!put) output.notice("Nothing was changed. --arbiter URL --put creates the roots.");
  else if (unsettled > 0) output.notice(DO_NOT_SERVE);
  else {
    if (lost > 0) output.notice(LOST);
    output.notice(`Next: syncline serve --arbiter URL --store ${shellWord(objects.address)} --accept-roots`);
  }
  return status;
}

/** Searches one owner's packs, all of which count: by a log in memory, not the arbiter's. */
async function search({ output, runtime }: RescueCall, objects: MasterObjects, owner: Wallet) {
  const { clock } = runtime;
  const { SqliteArbiter } = await import("../../arbiter/sqlite-arbiter.ts");
  await using log = new SqliteArbiter("", clock);
  const store = objects.of(owner);
  let packs = 0;
  for await (const { name } of store.list("pack/")) if (/^pack\/[0-9a-f]{32}$/.test(name)) packs++;
  await adoptPacks(log, owner, store);
  await using stores = storesAt(log, objects, runtime);
  const blocks = await stores.of(owner);
  await blocks.era();
  const known = blocks.cache.packs();
  const total = { bytes: known.reduce((sum, { bytes }) => sum + bytes, 0) };
  using progress = output.progress(`searching ${owner}`, total);
  let bytes = 0;
  const { buckets, unsigned } = await rescueOwner({
    owner,
    blocks,
    objects: store,
    pace: new TimeSlice(clock, WALK_SLICE_MS),
    memory: new Budget(WALKS_BYTES),
    onBytes: (more) => progress.update({ bytes: (bytes += more) }, total),
  });
  return { buckets, unsigned, unreadable: packs - known.length };
}

function storesAt(arbiter: Arbiter, objects: MasterObjects, { clock, random }: RescueCall["runtime"]): SharedStores {
  return new SharedStores({
    arbiter,
    objects,
    cacheDir: undefined,
    databases: systemDatabases,
    clock,
    random,
    log: silentLog,
    leaseMs: 24 * 60 * 60 * 1000,
    incarnation: () => "",
    onWentBack: async () => {},
  });
}

interface Chosen {
  readonly bucket: string;
  /** Whether --name gives it. */
  readonly isNamed: boolean;
  /** Undefined: several may be the newest, or none is complete. */
  readonly root: Cid | undefined;
}

function choose({ genesis, choices, commits }: FoundBucket, names: ReadonlyMap<Cid, string>, used: Set<Cid>): Chosen {
  const named = [genesis, ...commits].find((cid) => names.has(cid));
  if (named !== undefined) used.add(named);
  const bucket = (named && names.get(named)) ?? rescuedName(genesis);
  const isNamed = named !== undefined;
  if (isNamed && named !== genesis) return { bucket, isNamed, root: named };
  return { bucket, isNamed, root: choices.length === 1 ? choices[0] : undefined };
}

interface Where {
  readonly arbiter: Arbiter | undefined;
  readonly objects: MasterObjects;
  readonly owner: Wallet;
}

interface Settled extends Chosen {
  readonly put: Put;
}

async function settle(
  { options, output, runtime }: RescueCall,
  { arbiter, objects, owner }: Where,
  { commits, choices }: FoundBucket,
  chosen: Chosen,
): Promise<Settled> {
  const rows = arbiter === undefined ? [] : await allRoots(arbiter.roots, owner);
  const there = rows.find(({ commit }) => commits.has(commit));
  if (there !== undefined) {
    const isOther = chosen.isNamed && there.bucket !== chosen.bucket;
    if (isOther) output.notice(`--name ${chosen.bucket}: this bucket's root is there as ${there.bucket} and stays so.`);
    return { ...chosen, bucket: there.bucket, root: there.commit, put: isOther ? "other name" : "there" };
  }
  const { bucket, root } = chosen;
  if (options.put !== true || arbiter === undefined) return { ...chosen, put: "listed" };
  if (root === undefined) return { ...chosen, put: choices.length > 1 ? "ambiguous" : "incomplete" };
  await using stores = storesAt(arbiter, objects, runtime);
  const blocks = await stores.of(owner);
  const pace = new TimeSlice(runtime.clock, WALK_SLICE_MS);
  const { kind } = await createRoot(
    { arbiter, blocks, pace, memory: new Budget(WALKS_BYTES) },
    { owner, bucket },
    root,
  );
  const put = ({ created: "created", same: "there", other: "name taken", incomplete: "incomplete" } as const)[kind];
  return { ...chosen, put };
}

function show({ output }: RescueCall, owner: Wallet, { genesis, listed }: FoundBucket, { bucket, root, put }: Settled) {
  const commits = listed.map(({ cid, seq, timeNs, machine, complete }) => ({
    commit: cid,
    seq,
    complete,
    time: new Date(Number(timeNs / 1_000_000n)).toISOString(),
    machine: machine ?? null,
  }));
  const lines = commits.map(({ commit, seq, time, complete }) => {
    const mark = commit === root ? "  root" : "";
    return `  ${commit}  seq ${seq}  ${time}  ${complete ? "complete" : "incomplete"}${mark}`;
  });
  const text = [`${owner}  ${bucket}  ${put}`, `  genesis ${genesis}`, ...lines].join("\n");
  output.result({ owner, bucket, genesis, root: root ?? null, put, commits }, text);
}

/** Names by genesis or commit. Throws `usage`. */
function namesOf(given: readonly string[]): Map<Cid, string> {
  return new Map(
    given.map((item) => {
      const [, name = "", cid = ""] = /^([^=]+)=(.+)$/.exec(item) ?? [];
      if (isBucketName(name)) return [cidIn(item, cid), name] as const;
      throw new SynclineError("usage", `--name: ${JSON.stringify(item)} is not NAME=CID with a bucket's name.`);
    }),
  );
}

function cidIn(item: string, cid: string): Cid {
  try {
    return parseCid(cid);
  } catch (cause) {
    const why = `--name: ${JSON.stringify(item)} has no valid CID: ${describeError(cause)}`;
    throw new SynclineError("usage", why, { cause });
  }
}
