/** What `status` prints of masters, of lost bytes, and of paths that are left. */
import { join } from "node:path";
import { expect, test } from "vitest";
import type { SyncReport } from "../../../../src/sync/report.ts";
import type { AgentStatus } from "../../../../src/agent/reports.ts";
import { syncStatus } from "../../../../src/agent/folder/sync-status.ts";
import { register } from "../../../../src/cli/commands/status.ts";
import { runCommandLine } from "../../../../src/cli/program.ts";
import { createFakeRuntime } from "../../../support/fake-runtime.ts";
import { servedState } from "../../../support/served-state.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";
import { folderFacts } from "../../../support/folder-facts.ts";

const master = (host: string, used: boolean) => ({ address: `https://${host}`, used, left: null, latencyMs: null });

/** An agent that answers what `status` returns, and what the command prints of it. */
async function agentThatAnswers(status: () => AgentStatus) {
  const folder = await temporaryFolder();
  const [states, mount] = [join(folder, "states"), join(folder, "mount")];
  await servedState(states, { address: "https://a/b", mount }, { status: async () => status() });
  return async (...more: string[]) => {
    const runtime = createFakeRuntime({});
    await runCommandLine(["status", "--state", states, ...more], runtime, [register], "1.2.3");
    return runtime.out();
  };
}

const statusWith = (masters: AgentStatus["masters"], report?: SyncReport) => {
  const facts = folderFacts({ folder: "/f", address: "https://a/b", masters: () => masters });
  return syncStatus(facts, { report, error: undefined, scansOnly: undefined, waiting: false });
};

test("several masters are listed; a single one, which may be away, is not called ready", async () => {
  let masters = [master("a", false)];
  const shown = await agentThatAnswers(() => statusWith(masters));
  expect(await shown()).not.toContain("  master ");
  masters = [master("a", true), master("b", false)];
  expect(await shown()).toContain("  master     https://a  used\n  master     https://b  ready\n");
});

test("files that lack bytes are a problem, with the first of their names", async () => {
  let lost: AgentStatus["lost"] | undefined = null;
  const shown = await agentThatAnswers(() => ({ ...statusWith(null), lost }) as AgentStatus);
  expect(await shown()).not.toContain("zeros");
  lost = undefined;
  expect(await shown()).not.toContain("zeros");
  lost = { files: 1, names: ["a\u202eb"] };
  expect(await shown()).toContain(
    "  problem    1 file lacks bytes that were written, and reads as zeros there: a\\u{202e}b\n",
  );
  lost = { files: 3, names: ["a", "b"] };
  expect(await shown()).toContain(
    "  problem    3 files lack bytes that were written, and read as zeros there: a, b, more\n",
  );
  expect(JSON.parse(await shown("--json"))).toMatchObject({ agents: [{ lost }] });
  lost = { files: 2, names: [] };
  expect(await shown()).toContain("read as zeros there: removed since\n");
});

test("an error is shown with its code, by which pages name it", async () => {
  const lastError = { code: "root_rolled_back", message: "The root is older.", hint: "See the page." };
  const shown = await agentThatAnswers(() => ({ ...statusWith(null), lastError }) as AgentStatus);
  expect(await shown()).toContain("  problem    The root is older. (root_rolled_back)\n             See the page.\n");
});

test("of very many paths that are left, the first are listed, and all are counted", async () => {
  const left = Array.from({ length: 5_000 }, (_, index) => ({ path: `d/${index}`, why: "in the way" as const }));
  const report: SyncReport = {
    root: "root",
    sent: { added: 0, changed: 0, moved: 0, deleted: 0 },
    received: { files: 0, removed: 0 },
    conflicts: [],
    guard: null,
    left,
  };
  const shown = await agentThatAnswers(() => statusWith(null, report));
  expect((await shown()).split("\n").filter((line) => line.startsWith("  left"))).toEqual([
    ...left.slice(0, 10).map(({ path }) => `  left       ${path}: in the way`),
    "  left       … and 4990 more paths",
  ]);
  const sync = { left: left.slice(0, 1_000), leftPaths: 5_000 };
  expect(JSON.parse(await shown("--json"))).toMatchObject({ agents: [{ sync }] });
});
