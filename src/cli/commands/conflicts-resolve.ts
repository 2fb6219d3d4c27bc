/** `syncline conflicts resolve`: resolves one conflict, or all old ones, in one commit. */
import { requirePublished } from "../../agent/command-writer.ts";
import { SynclineError } from "../../base/errors.ts";
import type { FileName } from "../../base/ids.ts";
import { PUBLISH_NODE_CACHE_BYTES } from "../../base/limits.ts";
import type { Bucket } from "../../bucket/bucket.ts";
import type { VerifiedCommit } from "../../bucket/verified-commit.ts";
import { type FamilyMember, familyOf } from "../../bucket/conflicts/family.ts";
import type { ConflictSource } from "../../bucket/conflicts/last-change.ts";
import { hasChangedSince, isSameConflict } from "../../bucket/conflicts/members.ts";
import { ordinaryNames } from "../../bucket/conflicts/marked-name.ts";
import { isMergeMade } from "../../bucket/conflicts/merge-made.ts";
import { type Displaced, type OpenConflict, openConflicts } from "../../bucket/conflicts/open-conflicts.ts";
import { Elsewhere } from "../../bucket/writer/elsewhere.ts";
import { resolvePath } from "../../fstree/fs-reader.ts";
import { UnitRules } from "../../fstree/merge/units/unit-rules.ts";
import { dryRun, type DryRunWriter, type Path } from "../../bucket/writer.ts";
import { NodeStore } from "../../tree/node-store.ts";
import { openReader } from "./bucket-reader.ts";
import { openWriterFor } from "./bucket-writer.ts";
import type { Call } from "../command.ts";
import {
  noteConflicts,
  noteElsewhere,
  pathText,
  reportDisplaced,
  reportKept,
  requireConflict,
  versionLine,
  writerNames,
} from "./conflict-report.ts";
import { type BucketOption, readingAccess } from "../master-access.ts";
import { askLine, canAsk } from "../terminal/prompt.ts";
import { flushFirst, locateTarget, locateToWrite, showAtMount, type TargetPath } from "./target-path.ts";
import { noteOf, printCount, printPath } from "../terminal/text.ts";

type ResolveCall = Call<"keep" | "allOlderThan" | "dryRun" | BucketOption>;
type Keep = NonNullable<ResolveCall["options"]["keep"]>;

/** What was or would be done about one version that lost the conflict. `to` is its path afterwards. */
interface Answer {
  readonly path: Path;
  readonly version: Path;
  readonly done: "removed" | "took the name" | "renamed";
  readonly to: Path | null;
}

/** Without --keep, asks a person. Throws `usage` if there is no terminal. */
export async function resolveConflicts(given: ResolveCall): Promise<void> {
  const { options, output, runtime } = given;
  const [path = ""] = given.args;
  const located = await (options.dryRun === true
    ? locateTarget(given, path, readingAccess(given))
    : locateToWrite(given, path));
  const asked = options.keep === undefined ? await askWhich(given, located) : undefined;
  const { keep, names } = asked ?? { ...located, keep: options.keep };
  const target = { ...located, names };
  const call = { ...given, options: { ...options, keep } };
  if (options.dryRun === true) {
    // Reading needs no key.
    await using reader = await openReader(call, target.address, undefined);
    const { bucket, commit } = reader;
    const answers = await decideAll(
      call,
      target.names,
      bucket,
      commit,
      dryRun({ bucket, clock: runtime.clock }, commit),
    );
    return output.result({ dryRun: true, resolved: answers.map(reportOf) }, textOfAll(answers));
  }
  await flushFirst(target, runtime);
  await using session = await openWriterFor(call, target.address);
  const { bucket, writer } = session;
  if (asked !== undefined) await requireAsAsked(asked, located.names, bucket, writer.base);
  const answers = await decideAll(call, target.names, bucket, writer.base, writer);
  if (answers.length === 0)
    return output.result({ dryRun: false, resolved: answers.map(reportOf) }, textOfAll(answers));
  const isOne = options.allOlderThan === undefined;
  const about = isOne ? ` ${printPath(target.names)}` : `: ${printCount(answers.length, "version")}`;
  const { root, conflicts, figures } = requirePublished(
    await writer.publish(noteOf(`resolve${about}, keep ${keepOf(call)}`)),
  );
  const elsewhere = new Elsewhere(bucket, writer.base, root.commit);
  await showAtMount(target, runtime);
  const resolved: Answer[] = [];
  for (const answer of answers) {
    const { version, to } = answer;
    const now = await (to === null ? elsewhere.of(version) : elsewhere.ofMoved(version, to));
    noteElsewhere(output, version, now);
    if (now === undefined) resolved.push(answer);
  }
  noteConflicts(output, conflicts.length);
  const counts = { ...figures, conflicts: conflicts.length };
  const value = {
    dryRun: false,
    resolved: resolved.map(reportOf),
    root: root.commit,
    version: root.version,
    ...counts,
  };
  output.result(value, [...resolved.map(textOf), `root ${root.commit}`].join("\n"));
}

/** What a person chose, and the versions that they were shown. */
interface Asked {
  readonly keep: Keep;
  readonly names: Path;
  readonly commit: VerifiedCommit;
  readonly conflict: OpenConflict;
}

/** Shows the versions of one conflict, and asks which one gets the name. */
async function askWhich(call: ResolveCall, target: TargetPath): Promise<Asked> {
  const { options, output, runtime } = call;
  const { address, names } = target;
  if (!canAsk(runtime) || options.allOlderThan !== undefined) {
    throw new SynclineError("usage", "--keep is required.", { hint: "See syncline conflicts resolve --help." });
  }
  if (options.dryRun !== true) await flushFirst(target, runtime);
  await using reader = await openReader(call, address, undefined);
  const conflict = await requireConflict(reader, names);
  const nameOf = writerNames(reader);
  const kept = await reportKept(reader, conflict, nameOf);
  const choices: { readonly text: string; readonly keep: Keep; readonly names: Path }[] = [];
  if (kept !== null) choices.push({ text: versionLine(kept), keep: "kept", names });
  for (const version of conflict.versions) {
    const { report } = await reportDisplaced(reader, conflict, version, nameOf);
    choices.push({ text: versionLine(report), keep: "copy", names: version.path });
  }
  choices.push({ text: "all of them, each under its own name", keep: "both", names });
  output.notice(choices.map(({ text }, index) => `${index + 1}  ${text}`).join("\n"));
  for (;;) {
    const answer = await askLine(
      runtime,
      `Which version should be ${printPath(conflict.path)}? [1-${choices.length}] `,
    );
    const choice = /^\d+$/.test(answer) ? choices[Number(answer) - 1] : undefined;
    if (choice !== undefined) return { ...choice, commit: reader.commit, conflict };
  }
}

/** Throws `precondition_failed` if a version changed, came or went since they were shown. */
async function requireAsAsked(
  { commit, conflict }: Asked,
  names: Path,
  bucket: Bucket,
  base: VerifiedCommit,
): Promise<void> {
  const nodes = new NodeStore(bucket.blocks, { capacityBytes: PUBLISH_NODE_CACHE_BYTES });
  const rules = new UnitRules((await bucket.policy(base)).units);
  const shown = { tree: commit.body.tree, conflict };
  const now = { tree: base.body.tree, conflict: await requireConflict({ commit: base, nodes }, names) };
  if (await isSameConflict(nodes, rules, shown, now)) return;
  throw new SynclineError("precondition_failed", `/${printPath(conflict.path)}: its versions have changed meanwhile.`, {
    hint: "Nothing was changed. Run the command again to see them.",
  });
}

/** Makes the edits in `writer` that the answers need. */
async function decideAll(
  call: ResolveCall,
  path: Path,
  bucket: Bucket,
  commit: VerifiedCommit,
  writer: DryRunWriter,
): Promise<Answer[]> {
  const keep = keepOf(call);
  const nodes = new NodeStore(bucket.blocks, { capacityBytes: PUBLISH_NODE_CACHE_BYTES });
  const source = { bucket, nodes, commit };
  const rules = new UnitRules((await bucket.policy(commit)).units);
  const answers: Answer[] = [];
  const isOne = call.options.allOlderThan === undefined;
  for await (const conflict of isOne ? only(source, path) : older(call, source, rules, path)) {
    // One at a time: the writer answers with all edits so far.
    if (await isDecided(writer, conflict)) continue;
    if (isOne || mayDecide(conflict, keep)) answers.push(...(await decide(writer, rules, conflict, keep)));
    else call.output.notice(`${printPath(conflict.path)} stays as it is: ${whyNot(conflict, keep)}`);
  }
  return answers;
}

function keepOf({ options }: ResolveCall): Keep {
  return options.keep ?? "both";
}

async function* only(source: ConflictSource, path: Path): AsyncGenerator<OpenConflict> {
  yield requireConflict(source, path);
}

/** Conflicts whose files nobody has changed for that long, except those inside anything already resolved. */
async function* older(
  call: ResolveCall,
  source: ConflictSource,
  rules: UnitRules,
  path: Path,
): AsyncGenerator<OpenConflict> {
  const { commit, nodes } = source;
  const { tree } = commit.body;
  const directory = await resolvePath(nodes, tree, path);
  if (directory?.record.type !== "directory") {
    throw new SynclineError("not_a_directory", `/${printPath(path)} is not a directory of the bucket.`, {
      hint: "--all-older-than takes a bucket, a mount or a directory in it.",
    });
  }
  const until = call.runtime.clock.nowNs() - BigInt(Math.round(call.options.allOlderThan ?? 0)) * 1_000_000n;
  const moved: Path[] = [];
  for await (const conflict of openConflicts(nodes, tree, directory, path)) {
    if (moved.some((above) => liesBelow(conflict.path, above))) continue;
    if (await hasChangedSince(until, source, rules, conflict)) continue;
    const versions = await mergeMadeOf(call, source, rules, conflict);
    if (versions.length === 0) continue;
    moved.push(...versions.map((version) => version.path));
    if (call.options.keep === "copy") moved.push(conflict.path);
    yield { ...conflict, versions };
  }
}

/** The versions that merges put there. Without being asked about each, nobody loses what a person gave such a name. */
async function mergeMadeOf(
  { output }: ResolveCall,
  source: ConflictSource,
  rules: UnitRules,
  conflict: OpenConflict,
): Promise<Displaced[]> {
  const made: Displaced[] = [];
  for (const version of conflict.versions) {
    if (await isMergeMade(source, rules, conflict, version)) made.push(version);
    else output.notice(`${printPath(version.path)} stays as it is: no merge made it, or it was edited since.`);
  }
  return made;
}

/** Whether it was just resolved with the rest of its family. */
async function isDecided(writer: DryRunWriter, { versions }: OpenConflict): Promise<boolean> {
  for (const { path } of versions) if ((await writer.record(path)) !== undefined) return false;
  return true;
}

async function decide(writer: DryRunWriter, rules: UnitRules, conflict: OpenConflict, keep: Keep): Promise<Answer[]> {
  if (!mayDecide(conflict, keep)) {
    throw new SynclineError("precondition_failed", `/${printPath(conflict.path)}: ${whyNot(conflict, keep)}`, {
      hint: "Name the version that should get the name, or choose another --keep.",
    });
  }
  const answers: Answer[] = [];
  for (const { path: from } of conflict.versions) {
    const above = from.slice(0, -1);
    const family = familyOf(rules, nameOf(conflict.path), nameOf(from));
    const free = keep === "both" ? await freeName(writer, above, family) : undefined;
    for (const { version, plain, suffix } of family) {
      const [old, place] = [
        [...above, version],
        [...above, plain],
      ];
      const isThere = (await writer.record(old)) !== undefined;
      // Another version's journal beside this one's database would be worse than either.
      if (!isThere && keep === "copy" && (await writer.record(place)) !== undefined) await writer.remove(place);
      if (!isThere) continue;
      const to = keep === "kept" ? undefined : free === undefined ? place : [...above, (free + suffix) as FileName];
      await (to === undefined ? writer.remove(old) : writer.move(old, to));
      const done = to === undefined ? "removed" : keep === "copy" ? "took the name" : "renamed";
      answers.push({ path: place, version: old, done, to: to ?? null });
    }
  }
  return answers;
}

function nameOf(path: Path): FileName {
  return path.at(-1) ?? ("" as FileName);
}

function mayDecide({ kept, versions }: OpenConflict, keep: Keep): boolean {
  return keep === "both" || (keep === "kept" ? kept !== undefined : versions.length === 1);
}

function whyNot({ versions }: OpenConflict, keep: Keep): string {
  if (keep === "kept") return "nothing has this name now, so nothing would be kept.";
  return `${versions.length} versions lost the conflict, and only one of them can get the name.`;
}

/** An ordinary name for the main file that leaves no family member's name taken. */
async function freeName(writer: DryRunWriter, above: Path, family: readonly FamilyMember[]): Promise<FileName> {
  const main = family[0]?.plain ?? ("" as FileName);
  for (const name of ordinaryNames(main)) {
    let free = true;
    for (const { suffix } of family)
      free &&= (await writer.record([...above, (name + suffix) as FileName])) === undefined;
    if (free) return name;
  }
  return main;
}

function liesBelow(path: Path, above: Path): boolean {
  return path.length > above.length && above.every((name, depth) => name === path[depth]);
}

function textOfAll(answers: readonly Answer[]): string {
  return answers.map(textOf).join("\n") || "No conflicts to resolve.";
}

function reportOf({ path, version, done, to }: Answer): object {
  return { path: pathText(path), version: pathText(version), done, to: to === null ? null : pathText(to) };
}

function textOf({ version, done, to }: Answer): string {
  return `${printPath(version)} ${done}${to === null ? "" : `: ${printPath(to)}`}`;
}
