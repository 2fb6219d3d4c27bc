/** `syncline gc`: thins a bucket's history by its retention, and frees the space of what nothing needs any more. */
import { escapeForPrint } from "../../base/names.ts";
import { parseAddress } from "../../bucket/address.ts";
import { collect, type CollectOptions, type CollectReport } from "../../bucket/gc/collector.ts";
import type { ThinOptions } from "../../bucket/gc/thin.ts";
import { collectAtMaster } from "../../bucket/http/collect-at-master.ts";
import { openAtMaster, openPacked } from "../../bucket/open-remote.ts";
import { blockListBytes } from "../../runtime/memory.ts";
import { locateBucket } from "./bucket-path.ts";
import { openDeviceFor } from "./bucket-writer.ts";
import { command } from "../command.ts";
import { writingAccess, BUCKET_OPTIONS } from "../master-access.ts";
import { printAge, retentionText } from "./retention-text.ts";
import { printBytes, printCount } from "../terminal/text.ts";

export const register = command({
  name: "gc",
  arguments: [["<url>", "the bucket"]],
  summary: "thin a bucket's history and free the space that nothing uses",
  options: ["dryRun", ...BUCKET_OPTIONS],
  examples: ["syncline gc file:///srv/bucket --dry-run", "syncline gc file:///srv/bucket"],
  exits: [4, 5, 6, 8],
  async run(call) {
    const { args, options, output, runtime } = call;
    const { clock, random } = runtime;
    const dryRun = options.dryRun === true;
    const { address } = await locateBucket(call, args[0] ?? "", writingAccess(call));
    await using opened = await openDeviceFor(call, address);
    using progress = output.progress("gc");
    const shown: Shown = {
      onProgress: ({ blocks, of }) => progress.update({ blocks }, { blocks: of }),
      onStep: (what) => void progress.step(what),
    };
    const memoryBytes = blockListBytes("command");
    const acceptsLostRoots = options.accept === true;
    const common = {
      bucket: opened.bucket,
      writer: opened.device,
      clock,
      random,
      dryRun,
      memoryBytes,
      acceptsLostRoots,
    };
    const report = await collectAt(address, { clock, random, access: writingAccess(call) }, { ...common, ...shown });
    output.result({ dryRun, ...report }, textOf(report, dryRun));
  },
});

type Shown = Required<Pick<CollectOptions, "onProgress" | "onStep">>;
type Collecting = ThinOptions & Shown & Pick<CollectOptions, "memoryBytes" | "acceptsLostRoots">;

async function collectAt(
  address: string,
  access: Parameters<typeof openAtMaster>[1],
  options: Collecting,
): Promise<CollectReport> {
  const parsed = parseAddress(address);
  if (parsed.isPacked) {
    await using remote = await openPacked(address, access);
    return await collect({ ...options, store: remote.store });
  }
  await using remote = await openAtMaster(parsed, access);
  options.onStep("thinning history, then waiting for the master");
  return await collectAtMaster(remote, options);
}

function textOf(report: CollectReport, dryRun: boolean): string {
  const { commits, objects, bytes, freedBytes, dropped, passedOver } = report;
  const change = freedBytes < 0 ? `grew by ${printBytes(-freedBytes)}` : `freed ${printBytes(freedBytes)}`;
  const would = freedBytes < 0 ? `would grow by ${printBytes(-freedBytes)}` : `would free ${printBytes(freedBytes)}`;
  const lines = [
    `${dryRun ? would : change}: ${printBytes(bytes.before)} before, ${printBytes(bytes.after)} after`,
    ...whyOf(report, dryRun),
    `${printCount(objects.before, "object")} before, ${objects.after} after; ${printCount(dropped, "pack")} dropped`,
    `${printCount(commits.before, "retained root")} before, ${commits.after} after`,
    `the bucket's policy retains ${retentionText(report.retention)}`,
    ...heldLines(report),
    ...passedOver.map(({ object, what }) => `skipped ${object}, which ${escapeForPrint(what)}`),
  ];
  return lines.join("\n");
}

function whyOf({ isWorth, completed }: CollectReport, dryRun: boolean): string[] {
  const lines: string[] = [];
  if (completed) lines.push(`${dryRun ? "would complete" : "completed"} an interrupted collection`);
  if (!isWorth) lines.push("nothing is worth collecting: the bucket would not shrink");
  return lines;
}

/** Roughly what takes the space: blocks only, without the objects' tables. */
function heldLines({ held, bytes, retention }: CollectReport): string[] {
  if (held === null) return [];
  const lines = [`held by the newest root: about ${printBytes(held.newestBytes)}`];
  let rest = bytes.after - held.newestBytes;
  const oldestS = Math.max(...Object.values(retention));
  for (const { withinMs, roots, bytes: only } of held.older) {
    const age =
      withinMs === null ? `from before the last ${printAge(oldestS)}` : `from the last ${printAge(withinMs / 1000)}`;
    lines.push(`held only by ${printCount(roots, "older root")} ${age}: about ${printBytes(only)}`);
    rest -= only;
  }
  return [...lines, `tables, and garbage not yet worth collecting: about ${printBytes(Math.max(0, rest))}`];
}
