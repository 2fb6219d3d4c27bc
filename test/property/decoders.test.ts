/** Every decoder under mutation fuzzing: briefly in each run; for as long as wanted by scripts/fuzz, which sets SYNCLINE_FUZZ. */
import { readdirSync, readFileSync, writeSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { createDecoders } from "../support/decoders.ts";
import { type Finding, type FuzzResult, fuzz, judge } from "../support/fuzz.ts";

interface FuzzRun {
  readonly seconds: number;
  readonly seed: number;
  /** The name of a decoder and an input in hex, instead. */
  readonly replay?: readonly [decoder: string, hex: string];
}

const asked = process.env["SYNCLINE_FUZZ"];
const decoders = await createDecoders();
const ROUNDS = process.env["SYNCLINE_TEST_ALL"] === undefined ? 400 : 5000;
const PROGRESS_MS = 10_000;
/** 2^25 − 1 in the overlay's encoding: V8 makes an array of so many take 256 MiB before anything is in it. */
const HUGE = "ffffff01";
const FIXED_SEED = 0x5c11e;

describe.runIf(asked === undefined)("every decoder", () => {
  test.each(decoders)("$name accepts its own encodings", async (decoder) => {
    for (const sample of decoder.samples) expect(await judge(decoder, sample, false)).toBe("accepted");
  });

  test.each(decoders)(
    "$name refuses damaged input with documented errors, in memory bounded by the input's length",
    async (decoder) => {
      const { findings } = await fuzz([decoder], { seed: FIXED_SEED, goesOn: (rounds) => rounds < ROUNDS });
      expect(findings.map(({ problem, input }) => `${problem}: ${Buffer.from(input).toString("hex")}`)).toEqual([]);
    },
  );
});

describe.runIf(asked === undefined)(
  "a count that the remaining bytes cannot hold is refused before anything is allocated",
  () => {
    test.each([
      ["journal-record", "rows", `0e01${HUGE}`],
      ["journal-record", "followed objects", `12${HUGE}`],
      ["journal-record", "extended attributes", `0b${"00".repeat(8)}00${HUGE}`],
      ["changed-objects", "objects", HUGE],
      ["changed-objects", "names in the base", `01000000${"00".repeat(8)}00${HUGE}${"00".repeat(23)}`],
      ["changed-objects", "names", `01000000${"00".repeat(8)}000000000000${HUGE}${"00".repeat(18)}`],
      ["published-objects", "objects", HUGE],
    ])("%s: %s", async (name, _, hex) => {
      const decoder = decoders.find((each) => each.name === name);
      expect(decoder && (await judge(decoder, Buffer.from(hex, "hex"), false))).toBe("refused");
    });
  },
);

describe.runIf(asked === undefined)("an input that longer runs found is refused", () => {
  test.each([
    [
      "overlay-inode-row",
      "an id of another length",
      "690008090000000000000062000f1e2d3c4b5a69788796a5b4c3d2e1f06900080100000000000000620010112233445566778899aabbccddeeff0062",
    ],
  ])("%s: %s", async (name, _, hex) => {
    const decoder = decoders.find((each) => each.name === name);
    expect(decoder && (await judge(decoder, Buffer.from(hex, "hex"), false))).toBe("refused");
  });
});

/** Decoders that another one calls, which is in the list. */
const WITHIN: Readonly<Record<string, string>> = {
  decodeAcl: "parseAcl",
  parseAny: "parseDead",
  parseBaseRoot: "parseBase",
  parseLate: "sentEpochs",
  parsePlain: "parseDead",
  parseSealed: "sentEpochs",
  parseSent: "sentEpochs",
  readAcl: "parseAcl",
  readFrame: "findFrames",
  readInUse: "decodeHead",
  readInt: "decodeRecord",
  readRow: "rowsPerhapsIn",
  readUint: "decodeRecord",
  decodeSeen: "entryOf",
};

describe.runIf(asked === undefined)("the list of decoders", () => {
  test("covers every exported decode*, parse* and unpack* of bytes or text, and read* of bytes", () => {
    const listed = supportFiles().join("\n");
    const isListed = (name: string) => new RegExp(String.raw`\b${name}\b`).test(listed);
    const left = exportedDecoders().filter((name) => !isListed(WITHIN[name] ?? name));
    expect(left, "Add an entry to test/support/decoders.ts, or say in WITHIN which one calls it.").toEqual([]);
  });
});

function supportFiles(): string[] {
  const folder = resolve(import.meta.dirname, "../support");
  return readdirSync(folder)
    .filter((file) => file.endsWith("decoders.ts"))
    .map((file) => readFileSync(join(folder, file), "utf8"));
}

/** Of simulations, what is parsed is a test's own. */
function exportedDecoders(): string[] {
  const folder = resolve(import.meta.dirname, "../../src");
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" });
  const decoder =
    /export (?:async )?function\*? (?:((?:decode|parse|unpack)\w+)\(\w+: (?:Uint8Array|Buffer|string)|(read\w+)\(\w+: (?:Uint8Array|Buffer))/g;
  return files
    .filter((file) => file.endsWith(".ts") && !file.startsWith("simulate"))
    .flatMap((file) => Array.from(readFileSync(join(folder, file), "utf8").matchAll(decoder)))
    .map(([, named, read]) => named ?? read ?? "");
}

describe.runIf(asked !== undefined)("scripts/fuzz", () => {
  test("finds nothing", { timeout: 0 }, async () => {
    const run = JSON.parse(asked ?? "") as FuzzRun;
    if (run.replay !== undefined) return replay(...run.replay);
    const found = ({ decoder, problem, input }: Finding) => {
      say(`FOUND ${decoder}: ${problem}\n  scripts/fuzz --replay ${decoder} ${Buffer.from(input).toString("hex")}`);
    };
    const result = await fuzz(decoders, { seed: run.seed, goesOn: progress(run), timed: true, found });
    say(summary(result));
    expect(result.findings).toHaveLength(0);
  });
});

async function replay(name: string, hex: string): Promise<void> {
  const decoder = decoders.find((each) => each.name === name);
  if (decoder === undefined)
    throw new Error(`There is no decoder ${name}: ${decoders.map((each) => each.name).join(", ")}`);
  const verdict = await judge(decoder, Buffer.from(hex, "hex"), true);
  say(`${name}: ${verdict}`);
  expect(["accepted", "refused"]).toContain(verdict);
}

function progress({ seconds }: FuzzRun): (rounds: number) => boolean {
  const began = performance.now();
  let said = began;
  return (rounds) => {
    const now = performance.now();
    if (now - said >= PROGRESS_MS) {
      said = now;
      say(`${Math.round((now - began) / 1000)} s: ${rounds} inputs for each of ${decoders.length} decoders`);
    }
    return now - began < 1000 * seconds;
  };
}

function summary({ inputs, accepted }: FuzzResult): string {
  const lines = Array.from(
    inputs,
    ([name, count]) => `  ${name.padEnd(28)} ${count} inputs, ${accepted.get(name)} accepted`,
  );
  return ["Inputs of each decoder:", ...lines].join("\n");
}

/** Directly: what is printed must be there while it runs. */
function say(line: string): void {
  writeSync(2, `${line}\n`);
}
