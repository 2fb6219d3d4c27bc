/** `syncline gc`: thins a bucket's history by the rule of retention, and gives back the space of what nothing needs any more. */
import { collect, type CollectReport } from "../bucket/gc/collector.ts";
import { openPacked } from "../bucket/open-remote.ts";
import { locateBucket } from "./bucket-path.ts";
import { openDeviceFor } from "./bucket-writer.ts";
import { addCommand } from "./command.ts";
import type { Program } from "./command.ts";
import { MASTER_OPTIONS } from "./master-access.ts";
import { printBytes, printCount } from "./text.ts";

export function register(program: Program): void {
  addCommand(program, {
    name: "gc",
    arguments: [["<url>", "a bucket in a folder"]],
    summary: "thin a bucket's history and give back the space of what nothing needs any more",
    options: ["dryRun", ...MASTER_OPTIONS],
    examples: ["syncline gc file:///srv/bucket --dry-run", "syncline gc file:///srv/bucket"],
    exits: [4, 5, 6, 8],
    async run(call) {
      const { args, options, output, runtime } = call;
      const { clock, random } = runtime;
      const dryRun = options.dryRun === true;
      const { address } = await locateBucket(runtime, args[0] ?? "");
      await using remote = openPacked(address, { clock, random });
      await using opened = await openDeviceFor(call, address);
      using progress = output.progress("gc", "blocks");
      const onProgress = ({ blocks }: { readonly blocks: number }) => progress.update(blocks);
      const { bucket, device: writer } = opened;
      const report = await collect({ bucket, store: remote.store, writer, clock, random, dryRun, onProgress });
      const freedBytes = report.bytes.before - report.bytes.after;
      output.result({ dryRun, ...report, freedBytes }, textOf(report, freedBytes, dryRun));
    },
  });
}

function textOf({ commits, objects, bytes, dropped }: CollectReport, freedBytes: number, dryRun: boolean): string {
  const lines = [
    `${dryRun ? "would free" : "freed"} ${printBytes(Math.max(0, freedBytes))}: ${printBytes(bytes.before)} before, ${printBytes(bytes.after)} after`,
    `${printCount(objects.before, "object")} before, ${objects.after} after; ${printCount(dropped, "pack")} dropped`,
    `${printCount(commits.before, "retained root")} before, ${commits.after} after`,
  ];
  return lines.join("\n");
}
