import { describe, expect, test } from "vitest";
import { hasCode } from "../../../../src/base/errors.ts";
import type { ByteWriter } from "../../../../src/overlay/data/bytes.ts";
import { Journal } from "../../../../src/overlay/journal/journal.ts";
import { FRAME_HEADER_BYTES, sealFrame, SEGMENT_HEADER_BYTES } from "../../../../src/overlay/journal/journal-frame.ts";
import { seededRandom } from "../../../../src/simulate/seeded-random.ts";
import { diskFull, SimulatedDisk } from "../../../../src/simulate/disks/simulated-disk.ts";

const OPTIONS = { segmentBytes: 4096, frameBytes: 1024, salt: 0x5a17, reserved: () => 1 };

function open(disk: SimulatedDisk, checkpoint = 0): { journal: Journal; frames: string[] } {
  const frames: string[] = [];
  const journal = new Journal(disk, OPTIONS, checkpoint, (payload) => frames.push(Buffer.from(payload).toString()));
  return { journal, frames };
}

const text = (content: string) => (writer: ByteWriter) => writer.raw(Buffer.from(content));

function append(journal: Journal, content: string): void {
  journal.append(text(content), false);
  journal.flush();
}

/** Where a frame's payload lies: segment name and offset. */
function find(disk: SimulatedDisk, content: string): { name: string; at: number } {
  for (const [name, inode] of disk.filesIn("journal")) {
    const at = Buffer.from(inode.bytes).indexOf(content);
    if (at >= 0) return { name, at };
  }
  throw new Error(`no frame holds ${content}`);
}

function damage(disk: SimulatedDisk, content: string): void {
  const { name, at } = find(disk, content);
  const inode = disk.filesIn("journal").get(name);
  if (inode !== undefined) inode.bytes[at] = (inode.bytes[at] ?? 0) ^ 0x40;
}

test("flushed records are replayed in order, and unflushed ones are lost", () => {
  const disk = new SimulatedDisk();
  const { journal } = open(disk);
  append(journal, "one");
  journal.append(text("two"), false);
  journal.append(text("three"), false);
  journal.flush();
  journal.append(text("lost"), false);
  expect(open(disk.afterKill()).frames).toEqual(["one", "twothree"]);
});

/** Behind the header's checksum, and behind that of the first frame. */
const SALTS = [
  ["its header's", SEGMENT_HEADER_BYTES - 4],
  ["its first frame's", SEGMENT_HEADER_BYTES + FRAME_HEADER_BYTES - 4],
] as const;

test.each(SALTS)("a segment keeps all of its frames when %s salt is torn or damaged", (_, at) => {
  for (const damaged of [Buffer.alloc(4), Buffer.from([1, 2, 3, 4])]) {
    const disk = new SimulatedDisk();
    const { journal } = open(disk);
    append(journal, "first");
    append(journal, "second");
    const { name } = find(disk, "first");
    disk.filesIn("journal").get(name)?.bytes.set(damaged, at);
    const killed = disk.afterKill();
    const again = open(killed);
    expect(again.frames).toEqual(["first", "second"]);
    append(again.journal, "third");
    expect(open(killed.afterKill()).frames).toEqual(["first", "second", "third"]);
  }
});

test("a torn tail is dropped, wherever the last frame is cut", () => {
  const disk = new SimulatedDisk();
  const { journal } = open(disk);
  append(journal, "first");
  append(journal, "second");
  const { name, at } = find(disk, "second");
  for (let cut = at - 32; cut < at + 6; cut++) {
    const torn = disk.afterKill();
    torn.filesIn("journal").get(name)?.bytes.fill(0, cut);
    expect(open(torn).frames).toEqual(["first"]);
  }
});

test("a flipped bit in the last frame may drop its record, but never changes it", () => {
  const disk = new SimulatedDisk();
  const { journal } = open(disk);
  append(journal, "first");
  append(journal, "second");
  const { name, at } = find(disk, "second");
  for (let bit = (at - 32) * 8; bit < (at + 6) * 8; bit++) {
    const mutated = disk.afterKill();
    const bytes = mutated.filesIn("journal").get(name)?.bytes ?? new Uint8Array();
    bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    const { frames } = open(mutated);
    // The last four bytes of the header say nothing.
    expect(frames.length === 2 ? frames : frames.concat("second")).toEqual(["first", "second"]);
  }
});

test("a damaged frame that was durable is an error with a hint, and does not shorten the journal", async () => {
  const disk = new SimulatedDisk();
  const { journal } = open(disk);
  append(journal, "first");
  append(journal, "second");
  await journal.sync();
  append(journal, "third");
  for (const content of ["first", "second"]) {
    const damaged = disk.afterKill();
    damage(damaged, content);
    expect(() => open(damaged)).toThrow(
      expect.toSatisfy((error) => hasCode(error, "state_corrupt") && error.hint !== undefined),
    );
  }
});

test("a bit that flips while the journal is read loses no record, wherever it is", async () => {
  const disk = new SimulatedDisk();
  const { journal } = open(disk);
  append(journal, "first");
  await journal.sync();
  append(journal, "second");
  append(journal, "third");
  const { name, at } = find(disk, "third");
  for (let byte = 0; byte < at + 8; byte++) {
    const read = disk.afterKill();
    let isFlipped = false;
    read.flipped = (bytes) => {
      if (isFlipped || byte >= bytes.length) return bytes;
      isFlipped = true;
      const other = bytes.slice();
      other[byte] = (other[byte] ?? 0) ^ 1;
      return other;
    };
    expect(open(read).frames, `byte ${byte} of ${name}`).toEqual(["first", "second", "third"]);
  }
});

test("a bit that flips while the second segment's header is read loses no record", () => {
  const disk = new SimulatedDisk();
  const { journal } = open(disk);
  const long = "x".repeat(1_000);
  const all = ["a", "b", "c", "d", "e", "f"].map((name) => name + long);
  for (const content of all) append(journal, content);
  for (let skipped = 0; skipped < 12; skipped++) {
    const read = disk.afterKill();
    let reads = 0;
    read.flipped = (bytes) =>
      reads++ === skipped ? bytes.map((value, index) => (index === 9 ? value ^ 1 : value)) : bytes;
    expect(open(read).frames, `read ${skipped}`).toEqual(all);
  }
});

test("a hole after the last sync counts as power loss: everything after it is dropped for good", () => {
  const disk = new SimulatedDisk();
  const { journal } = open(disk);
  append(journal, "first");
  append(journal, "second");
  append(journal, "third");
  const torn = disk.afterKill();
  damage(torn, "second");
  const again = open(torn);
  expect(again.frames).toEqual(["first"]);
  append(again.journal, "new");
  const later = torn.afterKill();
  expect(open(later).frames).toEqual(["first", "new"]);
});

test("a dropped frame never comes back, even if a bit of it flips while its number is looked up", () => {
  const disk = new SimulatedDisk();
  const { journal } = open(disk);
  append(journal, "one");
  append(journal, "two");
  damage(disk, "one");
  for (let flipsAt = 0; flipsAt < 12; flipsAt++) {
    const torn = disk.afterKill();
    let reads = 0;
    torn.flipped = (bytes) => {
      const at = Buffer.from(bytes).indexOf("two");
      if (at < 0 || reads++ !== flipsAt) return bytes;
      const flipped = new Uint8Array(bytes);
      flipped[at] = 0;
      return flipped;
    };
    const { journal: next, frames } = open(torn);
    expect(frames).toEqual([]);
    append(next, "six");
    expect(open(torn.afterKill()).frames).toEqual(["six"]);
  }
});

test("dropped frames of an unreachable segment never come back", () => {
  const disk = new SimulatedDisk();
  const { journal } = open(disk);
  append(journal, "first");
  for (let index = 0; index < 40; index++) append(journal, `filler ${index} ${"x".repeat(200)}`);
  const torn = disk.afterKill();
  damage(torn, "filler 0 ");
  for (let life = 0, disk = torn; life < 6; life++) {
    const { journal: next, frames } = open(disk);
    expect(frames).toEqual(["first", ...Array.from({ length: life }, (_, index) => `life ${index}`)]);
    append(next, `life ${life}`);
    disk = disk.afterKill();
  }
});

test("segments are reused after a checkpoint, and their old frames never replay", () => {
  const disk = new SimulatedDisk();
  const { journal } = open(disk);
  const written: string[] = [];
  for (let round = 0; round < 50; round++) {
    for (let index = 0; index < 5; index++) {
      written.push(`round ${round} record ${index} ${"x".repeat(300)}`);
      append(journal, written.at(-1) ?? "");
    }
    const checkpoint = journal.lastFrame;
    if (round % 3 === 0) journal.recycle(checkpoint);
    const expected = round % 3 === 0 ? [] : written.slice(-5 * (round % 3));
    expect(open(disk.afterKill(), round % 3 === 0 ? checkpoint : checkpoint - expected.length).frames).toEqual(
      expected,
    );
  }
  expect(disk.list("journal").length).toBeLessThanOrEqual(10);
});

test("a record larger than a segment is accepted", () => {
  const disk = new SimulatedDisk();
  const { journal } = open(disk);
  append(journal, "small");
  append(journal, "L".repeat(20_000));
  append(journal, "after");
  expect(open(disk.afterKill()).frames.map((frame) => frame.length)).toEqual([5, 20_000, 5]);
});

test("on a full disk a record is refused before anything happens, and the reserve takes only urgent ones", () => {
  const disk = new SimulatedDisk();
  const { journal } = open(disk);
  append(journal, "first");
  disk.before = (call) => {
    if (call === "grow" || call === "create") throw diskFull();
  };
  let between = 0;
  const add = (urgent: boolean) => {
    journal.append(text("x".repeat(200)), urgent, () => void between++);
    journal.flush();
  };
  let taken = 0;
  const fill = (urgent: boolean) => {
    try {
      for (;;) {
        add(urgent);
        taken++;
      }
    } catch (error) {
      if (!hasCode(error, "disk_full")) throw error;
    }
  };
  fill(false);
  const ordinary = taken;
  fill(true);
  expect(taken).toBeGreaterThan(ordinary + 10);
  expect(between).toBe(taken);
  expect(open(disk.afterKill()).frames).toHaveLength(taken + 1);
});

test("a failure between reservation and record withdraws the record", () => {
  const disk = new SimulatedDisk();
  const { journal } = open(disk);
  journal.append(text("kept"), false);
  const fails = () => {
    throw diskFull();
  };
  expect(() => journal.append(text("gone"), false, fails)).toThrow("full");
  journal.flush();
  expect(open(disk.afterKill()).frames).toEqual(["kept"]);
});

test.each([
  ["sync", async (journal: Journal) => journal.sync()],
  ["sync at once", async (journal: Journal) => void journal.syncNow()],
])("after a failed %s no record is accepted, and none is said to be durable", async (_, sync) => {
  const disk = new SimulatedDisk();
  const { journal } = open(disk);
  append(journal, "first");
  await journal.sync();
  append(journal, "second");
  disk.before = (call) => {
    if (call.startsWith("sync")) throw new Error("the disk is broken");
  };
  await expect(sync(journal)).rejects.toMatchObject({ code: "store_failed" });
  disk.before = () => {};
  expect(() => journal.append(text("third"), false)).toThrow("Could not sync the overlay's journal");
  expect(() => journal.syncNow()).toThrow("Could not sync the overlay's journal");
  await expect(journal.sync()).rejects.toMatchObject({ code: "store_failed" });
});

test("segments are prepared ahead: appending creates none, and their names are already durable", async () => {
  const disk = new SimulatedDisk();
  const { journal } = open(disk);
  append(journal, "first");
  await journal.sync();
  while (journal.wantsSpare) await journal.makeReady();
  const made = disk.list("journal").length;
  const folderSyncs: string[] = [];
  const syncFolder = disk.syncFolder.bind(disk);
  disk.syncFolder = async (folder) => void (folderSyncs.push(folder), await syncFolder(folder));
  const last = `last${"x".repeat(900)}`;
  for (let frame = 0; frame < 5; frame++) append(journal, `${frame}${"x".repeat(900)}`);
  append(journal, last);
  expect(disk.list("journal")).toHaveLength(made);
  expect(journal.syncNow() || (await journal.sync().then(() => true))).toBe(true);
  expect(folderSyncs).toEqual([]);
  for (let seed = 0; seed < 20; seed++) expect(open(disk.afterPowerLoss(seededRandom(seed))).frames.at(-1)).toBe(last);
});

test("a full disk prevents a spare segment without an error, and the next attempt waits until a segment is used", async () => {
  const disk = new SimulatedDisk();
  const { journal } = open(disk);
  append(journal, "first");
  disk.capacity = disk.used;
  const before = disk.list("journal");
  await journal.makeReady();
  expect(journal.wantsSpare).toBe(false);
  expect(disk.list("journal")).toEqual(before);
  disk.capacity = Infinity;
  for (let frame = 0; frame < 5; frame++) append(journal, `${frame}${"x".repeat(900)}`);
  expect(journal.wantsSpare).toBe(true);
});

describe("user bytes that look like frames are not taken for frames", () => {
  /** From here on, and 8 bytes long each. */
  const PAYLOAD = "payload.";
  /** What "a frame" claims: that others before it were durable, or that no number is left above its own. */
  const CLAIMS = [
    ["that what came before was durable", 1e6, 1e5],
    ["the greatest number", 1e300, 0],
  ] as const;

  function likeFrame(number: number, synced: number): Buffer {
    const frame = Buffer.alloc(FRAME_HEADER_BYTES + PAYLOAD.length, PAYLOAD);
    sealFrame(frame, PAYLOAD.length, { number, synced, salt: 0 });
    return frame;
  }

  function appendBytes(journal: Journal, bytes: Uint8Array): void {
    journal.append((writer) => writer.raw(bytes), false);
    journal.flush();
  }

  test.each(CLAIMS)("in a torn frame: claiming %s", (_, number, synced) => {
    const disk = new SimulatedDisk();
    const { journal } = open(disk);
    append(journal, "first");
    appendBytes(journal, Buffer.concat([Buffer.from("written "), likeFrame(number, synced)]));
    damage(disk, "written ");
    const killed = disk.afterKill();
    const again = open(killed);
    append(again.journal, "second");
    append(again.journal, "third");
    expect(open(killed.afterKill()).frames).toEqual(["first", "second", "third"]);
  });

  test.each(CLAIMS)("in the remains of a reused segment: claiming %s", (_, number, synced) => {
    const disk = new SimulatedDisk();
    const { journal } = open(disk);
    for (let times = 0; times < 40; times++)
      appendBytes(journal, Buffer.concat([Buffer.alloc(800), likeFrame(number, synced), Buffer.alloc(300)]));
    const checkpoint = journal.lastFrame;
    journal.recycle(checkpoint);
    const written = Array.from({ length: 85 }, (_, at) => `record ${at}`.padEnd(150));
    for (const content of written) append(journal, content);
    const killed = disk.afterKill();
    const again = open(killed, checkpoint);
    append(again.journal, "one more");
    append(again.journal, "another");
    expect(open(killed.afterKill(), checkpoint).frames).toEqual([...written, "one more", "another"]);
  });

  test("where the next frame would start", () => {
    const disk = new SimulatedDisk();
    const { journal } = open(disk);
    append(journal, "first");
    const { name, at } = find(disk, "first");
    disk
      .filesIn("journal")
      .get(name)
      ?.bytes.set(likeFrame(2, 0), at + 8);
    expect(open(disk.afterKill()).frames).toEqual(["first"]);
  });
});
