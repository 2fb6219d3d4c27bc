/**
 * `syncline verify`: hashes every block and checks every rule of a bucket or a master's data; --repair mends what it can.
 */
import { SynclineError } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import { escapeForPrint } from "../../base/names.ts";
import type { BlockReader } from "../../blocks/block-store.ts";
import { verifyBucket } from "../../bucket/verify.ts";
import type { DamageItem, VerifyReport } from "../../bucket/verify/report.ts";
import { blockListBytes, countBuffers } from "../../runtime/memory.ts";
import { type Call, command } from "../command.ts";
import { openToRead } from "./bucket-reader.ts";
import { repairingAccess, BUCKET_OPTIONS, type BucketOption } from "../master-access.ts";
import { copiesInFolders, openCaches, tellOfAgents } from "./local-copies.ts";
import { locateRootless, settleRoot } from "./lost-root.ts";
import type { Output } from "../terminal/output.ts";
import { printBytes, printCount } from "../terminal/text.ts";
import { openVerified, type VerifiedStorage } from "./verified-storage.ts";

export const register = command({
  name: "verify",
  arguments: [["[url]", "the bucket; or use --data or --arbiter for everything that masters keep"]],
  summary: "check every block and rule of a bucket or of a master's data; repair with --repair",
  options: ["data", "arbiter", "store", "repair", "root", ...BUCKET_OPTIONS],
  examples: [
    "syncline verify file:///srv/bucket",
    "syncline verify file:///srv/bucket --repair --root bafyr4ib4r5r6xnlrq6nvu7vcuq7wlrxcgo2wqaxq7h5mbcsbqxtxxkyfku",
    "syncline verify --data ~/master",
    "syncline verify --arbiter postgres://syncline@db.example/syncline --store s3://packs/main",
  ],
  exits: [4, 5, 6, 8],
  async run(call) {
    const { args, options, output, runtime } = call;
    const isShared = options.arbiter !== undefined || options.store !== undefined;
    if ([args[0], options.data, isShared || undefined].filter((item) => item !== undefined).length !== 1) {
      const what = "Name either a bucket, a master's data folder (--data), or --arbiter with --store.";
      throw new SynclineError("usage", what);
    }
    if (options.root !== undefined && (options.repair !== true || args[0] === undefined))
      throw new SynclineError("usage", "--root goes with a bucket's address and --repair.");
    if (isShared) {
      if (options.repair === true) {
        throw new SynclineError("usage", "--repair does not mend a store of packs.", {
          hint: "Run `syncline verify URL --repair` on the buckets: it sends lost blocks again.",
        });
      }
      const { verifyShared } = await import("./verify-data.ts");
      return verifyShared(call);
    }
    if (options.data !== undefined) {
      // Loaded here, so that other uses need not load a master's parts.
      const { verifyData } = await import("./verify-data.ts");
      return verifyData(options.data, options.repair === true, call);
    }
    const address = await locateRootless(call, args[0] ?? "");
    const root = await settleRoot(call, address);
    if (root === "lost") return 8;
    const { clock, random } = runtime;
    await using storage = await openVerified(address, { access: repairingAccess(call), clock, random });
    countBuffers();
    let report = await examine(call, address, storage, output);
    let repaired = root === "put back" ? 1 : 0;
    const repair = async (lost: readonly Cid[], copies: BlockReader) => {
      const mended = await storage.repair(lost, copies);
      for (const { object, what } of mended) output.result({ repaired: object, what }, `repaired ${object}: ${what}`);
      repaired += mended.length;
      // Restored blocks may name other lost ones, and someone else may have mended something.
      report = await examine(call, address, storage, output);
    };
    if (options.repair === true && report.damage.length > 0) {
      await tellOfAgents(call, address);
      await using caches = openCaches(runtime, options.state, address);
      const asked = new Set<Cid>();
      // Blocks that a list names are known to be lost only once the list is back.
      for (let isNew = true; isNew;) {
        await repair(report.lost, caches);
        const { lost } = report;
        // Slower: reads every file of a folder.
        await using copies = await copiesInFolders(call, address, lost);
        const found = copies?.cids ?? [];
        if (copies !== undefined && found.length > 0) await repair(found, copies);
        const before = asked.size;
        for (const cid of copies?.isAll === false ? found : lost) asked.add(cid);
        isNew = asked.size > before && found.length > 0 && report.lost.some((cid) => !asked.has(cid));
      }
    }
    for (const item of report.damage) output.result({ damage: item }, `damaged  ${printDamage(item)}`);
    const { blocks, bytes, roots, damage } = report;
    const summary = { blocks, bytes, roots, damaged: damage.length, repaired };
    const found = damage.length === 0 ? "no problems found" : `${printCount(damage.length, "problem")} found`;
    output.result(
      summary,
      `${printCount(blocks, "block")}, ${printBytes(bytes)}, ${printCount(roots, "root")}: ${found}.`,
    );
    return damage.length === 0 ? 0 : 8;
  },
});

async function examine(
  call: Call<BucketOption>,
  address: string,
  storage: VerifiedStorage,
  output: Output,
): Promise<VerifyReport> {
  const { blocks, audit } = storage;
  await using opened = await openToRead(call, address);
  using progress = output.progress("verify");
  const total = progress.isShown ? await storage.most() : undefined;
  return await verifyBucket(opened.bucket, {
    blocks,
    ...(audit === undefined ? {} : { audit }),
    memoryBytes: blockListBytes("command"),
    onProgress: ({ blocks, bytes }) => progress.update({ blocks, bytes }, total),
    onStep: (what) => void progress.step(what),
  });
}

function printDamage({ path, root, what, object }: DamageItem): string {
  const where = [path, root === undefined ? undefined : `in ${root}`, object].filter((part) => part !== undefined);
  return escapeForPrint(`${where.join(" ")}: ${what}`);
}
