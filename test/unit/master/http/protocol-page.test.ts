/** docs/reference/protocol.md tells the truth: its curl lines work as it says, and no call and no code is missing. */
import { spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { text } from "node:stream/consumers";
import { resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { systemClock } from "../../../../src/base/clock.ts";
import { signToken } from "../../../../src/crypto/token.ts";
import { REFUSALS } from "../../../../src/master/http/refusal.ts";
import { carOf } from "../../../support/car.ts";
import { CommitChain } from "../../../support/commit-chain.ts";
import { bob, startTestMaster, type TestMaster } from "../../../support/test-master.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const page = readFileSync(resolve(import.meta.dirname, "../../../../docs/reference/protocol.md"), "utf8");
let master: TestMaster;
beforeAll(async () => void (master = await startTestMaster()));
afterAll(() => master.stop());

interface Line {
  readonly command: string;
  /** The status behind its #; undefined for commands that are no calls. */
  readonly status: string | undefined;
}

/** The examples' lines, but for the block that sets names. */
function linesOf(text: string): Line[] {
  const blocks = [...text.matchAll(/```sh\n([^]*?)```/g)].map(([, lines = ""]) => lines.trim().split("\n"));
  return blocks.flat().map((line) => {
    const [, command = line, status] = /^(.*?)\s+# (\d{3})\b/.exec(line) ?? [];
    return { command, status };
  });
}

const curlIsHere = spawnSync("curl", ["--version"]).status === 0;

test.skipIf(!curlIsHere)("the protocol page's curl lines return the status that it shows", async () => {
  const chain = await CommitChain.create();
  const { commit, blocks } = chain.make("a file", undefined);
  const body = carOf(...blocks, commit, chain.genesis);
  const uploaded = await master.call("/v1/blocks", { method: "POST", body }, bob);
  expect(await uploaded.json()).toMatchObject({ rejected: [] });

  const lines = linesOf(page);
  expect(lines.filter(({ status }) => status !== undefined).length).toBeGreaterThan(25);
  // Each curl prints its status and nothing else.
  const script = [
    `curl() { command curl -sS -w '%{stderr}%{http_code}\\n' "$@" >/dev/null; }`,
    ...lines.map(({ command }) => command),
  ].join("\n");
  const env = {
    PATH: process.env["PATH"],
    MASTER: master.origin,
    AUTH: `Authorization: Bearer ${await signToken(bob, Number(systemClock.nowNs() / 1_000_000_000n), 500)}`,
    OWNER: bob.wallet,
    ROOT: commit.cid,
  };
  const shell = spawn("bash", ["--norc", "-e", "-c", script], { env, cwd: await temporaryFolder() });
  const said = (await text(shell.stderr)).split("\n").filter((line) => !line.startsWith("curl: (28)"));
  expect(said.filter((line) => line !== "")).toEqual(lines.flatMap(({ status }) => status ?? []));
});

test("the protocol page names every call", () => {
  const missing = master.routes.filter(({ method, path }) => {
    const [call = ""] = path.replace("/v1/owners/{wallet}/buckets/{bucket}/", "/v1/buckets/{bucket}/").split("?");
    return !new RegExp(
      `\`[^\`]*\\b${method}\\b[^\`]*${call.replaceAll(/[{}/.]/g, "\\$&")}|\`PUT\` or \`POST ${call}`,
    ).test(page);
  });
  expect(missing.map(({ method, path }) => `${method} ${path}`)).toEqual([]);
});

test("the protocol page's error table matches the program's, in order", () => {
  const rows = [...page.matchAll(/^`([a-z_]+)` \| (\d{3}) \| .+\.$/gm)].map(([, code = "", status]) => [
    code,
    Number(status),
  ]);
  expect(Object.fromEntries(rows)).toEqual(REFUSALS);
  expect(rows.map(([code]) => code)).toEqual(Object.keys(REFUSALS).toSorted());
});
