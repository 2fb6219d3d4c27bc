/** `syncline migrate-store`: moves the data of a master with a folder to an arbiter and a store that masters share. */
import { Budget } from "../../base/budget.ts";
import { SynclineError } from "../../base/errors.ts";
import type { Cid, Wallet } from "../../base/ids.ts";
import { silentLog } from "../../base/log.ts";
import { TimeSlice } from "../../base/time-slice.ts";
import { shellWord } from "../../base/names.ts";
import { type Arbiter, PACK_STATES } from "../../arbiter/arbiter.ts";
import { revokedIn } from "../../master/http/revocations.ts";
import { WALK_SLICE_MS, WALKS_BYTES } from "../../master/limits.ts";
import { adoptPacks } from "../../master/shared/adopt-packs.ts";
import { createRoot, type RootCreation } from "../../master/shared/create-root.ts";
import { copyPacks } from "../../master/shared/folder-copy.ts";
import { openMasterObjects } from "../../master/shared/open-objects.ts";
import { requireItsStore } from "../../master/shared/its-store.ts";
import { logPages } from "../../master/shared/pack-log.ts";
import type { MasterObjects } from "../../master/shared/pack-objects.ts";
import { SharedStores } from "../../master/shared/shared-stores.ts";
import { lockExistingFolder, revocationsPath, rootsPath } from "../../master/store/data-folder.ts";
import { listOwners } from "../../master/store/master-store.ts";
import { systemPackDisk } from "../../master/store/pack-disk.ts";
import { checkRoots, checkRootTable } from "../../master/store/roots-check.ts";
import { systemDatabases } from "../../objects/databases.ts";
import { SqliteRootStore } from "../../roots/sqlite-root-store.ts";
import { type Call, command } from "../command.ts";
import type { Runtime } from "../runtime.ts";
import { printCount } from "../terminal/text.ts";
import { openArbiter } from "./master-storage.ts";

type MigrateCall = Call<"arbiter" | "verify">;

export const register = command({
  name: "migrate-store",
  arguments: [
    ["<from>", "data folder of a stopped master, as serve --data"],
    ["<to>", "store of packs for several masters, as serve --store"],
  ],
  summary: "copy a master's data folder to an arbiter and a store, the roots last; run it again to resume",
  options: ["arbiter", "verify"],
  required: ["arbiter"],
  examples: ["syncline migrate-store /srv/master s3://packs/main --arbiter postgres://syncline@db.example/syncline"],
  exits: [4, 5, 6, 8],
  run: migrate,
});

async function migrate(call: MigrateCall): Promise<void> {
  const { args, options, output, runtime } = call;
  const [from = "", to = ""] = args;
  using _lock = await lockExistingFolder(from, systemPackDisk);
  const owners = await listOwners(systemPackDisk, from);
  checkRootTable(from, owners);
  using table = new SqliteRootStore(rootsPath(from));
  const databases = systemDatabases;
  const behind = await checkRoots({ dir: from, roots: table, owners, databases });
  if (behind.size > 0) {
    throw new SynclineError("root_rolled_back", `The table of roots in ${from} is older than its last known state.`, {
      hint: "See docs/guide/operating.md. To accept it: start `syncline serve --accept-roots` there once.",
    });
  }
  await using objects = await openMasterObjects(to, runtime);
  await using arbiter = await openArbiter(options.arbiter ?? "", runtime, silentLog);
  // Else its packs would be in two stores, of which each master knows only one.
  await requireItsStore(arbiter, objects);
  const roots = table.all();
  for (const { name, root } of roots) {
    const there = await arbiter.roots.get(name);
    if (there !== undefined && there.commit !== root.commit) throw otherRoot(name.owner, name.bucket);
  }
  const packs = { copied: 0, skipped: 0, damaged: 0 };
  using progress = output.progress("copying");
  let bytes = 0;
  for (const owner of owners) {
    const done = await copyPacks({
      dir: from,
      owner,
      disk: systemPackDisk,
      databases,
      objects: objects.of(owner),
      gone: await givenUp(arbiter, owner),
      verify: options.verify === true,
      onPack: (more) => progress.update({ bytes: (bytes += more) }),
    });
    packs.copied += done.copied;
    packs.skipped += done.skipped;
    packs.damaged += done.damaged;
    await adoptPacks(arbiter, owner, objects.of(owner));
  }
  // Before the roots: a master that serves them must know which tokens are revoked.
  const revoked = revokedIn(revocationsPath(from), databases);
  for (const { digest, exp } of revoked) await arbiter.revoked.add(digest, exp);
  await using stores = storesAt(arbiter, objects, runtime);
  const tools = { arbiter, pace: new TimeSlice(runtime.clock, WALK_SLICE_MS), memory: new Budget(WALKS_BYTES) };
  for (const { name, root } of roots) {
    const owner = name.owner as Wallet;
    const blocks = await stores.of(owner);
    await putRoot({ ...tools, blocks }, { owner, bucket: name.bucket }, root.commit);
  }
  const told = { owners: owners.length, roots: roots.length, packs, bytes, revoked: revoked.length };
  const counts = [printCount(packs.copied, "pack"), printCount(roots.length, "root")].join(" and ");
  output.result(told, `Copied ${counts}; already there: ${printCount(packs.skipped, "pack")}.`);
  if (packs.damaged > 0)
    output.notice(`Left out, as no root needs them: ${printCount(packs.damaged, "damaged block")}.`);
  output.notice(
    `Next: syncline serve --arbiter URL --store ${shellWord(objects.address)}. Do not serve ${from} any more: its copy goes out of date.`,
  );
}

/** Packs that the log has given up. */
async function givenUp(arbiter: Arbiter, owner: Wallet): Promise<ReadonlySet<string>> {
  const gone = new Set<string>();
  for await (const entries of logPages(arbiter, owner)) {
    for (const { pack, state } of entries) if (state === PACK_STATES.gone) gone.add(pack);
  }
  return gone;
}

function storesAt(arbiter: Arbiter, objects: MasterObjects, { clock, random }: Runtime): SharedStores {
  return new SharedStores({
    arbiter,
    objects,
    cacheDir: undefined,
    databases: systemDatabases,
    leaseMs: 24 * 60 * 60 * 1000,
    clock,
    random,
    log: silentLog,
    incarnation: () => "",
    onWentBack: async () => {},
  });
}

async function putRoot(
  creation: RootCreation,
  name: { readonly owner: Wallet; readonly bucket: string },
  commit: Cid,
): Promise<void> {
  const done = await createRoot(creation, name, commit);
  if (done.kind === "other") throw otherRoot(name.owner, name.bucket);
  if (done.kind !== "incomplete") return;
  throw new SynclineError(
    "missing_blocks",
    `Blocks of bucket ${name.bucket} of ${name.owner} are missing or damaged.`,
    { hint: "Run `syncline verify --data FROM --repair`, then this command again." },
  );
}

function otherRoot(owner: string, bucket: string): SynclineError {
  return new SynclineError("bucket_exists", `The arbiter has another root for bucket ${bucket} of ${owner}.`, {
    hint: "Nothing was replaced. Use an arbiter without this bucket.",
  });
}
