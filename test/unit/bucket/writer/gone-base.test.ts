/** A command that takes so long that a collection takes the root on which it began: others' version and its own are both kept. */
import { expect, test } from "vitest";
import type { BucketWriter } from "../../../../src/bucket/writer.ts";
import { openWriter } from "../../../../src/bucket/writer.ts";
import { sourceOfBytes } from "../../../../src/bucket/writer/file-source.ts";
import type { VerifiedCommit } from "../../../../src/bucket/verified-commit.ts";
import { collectIn, EAGER, faultsOf, Hours, newStore, opened, shown } from "../../../support/collected-store.ts";
import { name } from "../../../support/epochs.ts";

const MINUTE_MS = 60_000;
const ATTRIBUTES = { mode: 0o644, uid: 0, gid: 0 };
const NOTES = [name("notes.txt")];
const COPY = [name("copy.txt")];

/** Too long to stand in a row. Merges by lines with a text that changed lines far from these. */
function text(changes: Readonly<Record<number, string>>): Buffer {
  return Buffer.from(
    Array.from({ length: 40 }, (_, line) => `${changes[line] ?? `line ${line} as it was`}\n`).join(""),
  );
}

const BASE = text({});
const [OURS, THEIRS] = [text({ 3: "ours" }), text({ 30: "theirs" })];

type Command = (writer: BucketWriter, first: VerifiedCommit) => Promise<unknown>;

/** What a bucket with OURS, then BASE, shows once a long command published, whose base others replaced within a minute. */
async function afterLong(command: Command): Promise<[string, string][]> {
  const hours = new Hours(Math.ceil(1_700_000_000_000 / MINUTE_MS) * MINUTE_MS);
  const store = await newStore(hours);
  const other = await opened(store, hours);
  await other.put("notes.txt", OURS);
  const first = await other.bucket.head();
  hours.ms += MINUTE_MS;
  await other.put("copy.txt", OURS);
  hours.ms += MINUTE_MS;
  await other.put("notes.txt", BASE);
  const { context } = await opened(store, hours);
  await using writer = await openWriter(context, 1);
  await command(writer, first.commit);
  hours.ms += MINUTE_MS / 2;
  await other.put("notes.txt", THEIRS);
  hours.ms += 16 * MINUTE_MS;
  await other.put("other", Buffer.from("other"));
  const { commits } = await collectIn(store, hours, EAGER);
  expect(commits.after).toBeLessThan(commits.before);
  expect((await writer.publish()).kind).toBe("published");
  expect(await faultsOf(store, hours)).toEqual([]);
  const files = Object.entries(await shown(store, hours));
  return files.filter(([file]) => file !== "other").sort();
}

const CONFLICT = [expect.stringMatching(/^notes \(conflict [0-9a-f]{8}\)\.txt$/), OURS.toString()];
const KEPT = ["notes.txt", THEIRS.toString()];
const BESIDE = ["copy.txt", OURS.toString()];

test("a file that a long put overwrites conflicts with others' version", async () => {
  const put: Command = (writer) => writer.putFile(NOTES, sourceOfBytes(OURS), ATTRIBUTES);
  expect(await afterLong(put)).toEqual([BESIDE, CONFLICT, KEPT]);
});

test("a file that a long restore takes back conflicts with others' version", async () => {
  expect(await afterLong((writer, first) => writer.restore(NOTES, first))).toEqual([BESIDE, CONFLICT, KEPT]);
});

test("a file that a resolved conflict replaces conflicts with others' version, if that takes long", async () => {
  expect(await afterLong((writer) => writer.move(COPY, NOTES))).toEqual([CONFLICT, KEPT]);
});
