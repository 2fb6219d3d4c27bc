/** What the next agent of a mount takes its words and its state from. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { noteConnection } from "../../../../src/agent/state/connection.ts";
import { StartFiles } from "../../../../src/cli/start-files.ts";
import { silentLog } from "../../../../src/base/log.ts";
import {
  inPlace,
  placeTaken,
  refuseOtherState,
  supervisionOf,
  withKeptFiles,
} from "../../../../src/cli/commands/taking-over.ts";
import type { Call } from "../../../../src/cli/command.ts";
import { createFakeRuntime } from "../../../support/fake-runtime.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const BEGUN = { stateRoot: "/states", mount: "/mnt", sync: "/synced" };
const PLACE = { ...BEGUN, state: "/state", connection: "5a" };
const HANDOFF = { SYNCLINE_HANDOFF: "45 128 0" };

function taking(place: object | undefined) {
  return createFakeRuntime({ ...HANDOFF, SYNCLINE_PLACE: place === undefined ? "" : JSON.stringify(place) });
}

test("a mount has a random text, which all of its agents keep", () => {
  const first = () => supervisionOf(createFakeRuntime({ SYNCLINE_HANDOFF: "first" }), "/state", BEGUN).place;
  expect(first()).toMatchObject({ ...BEGUN, connection: expect.stringMatching(/^[0-9a-f]{32}$/) as string });
  expect(first().connection).not.toBe(first().connection);
  const runtime = taking(first());
  const { connection } = placeTaken(runtime) ?? {};
  expect(supervisionOf(runtime, "/state", BEGUN).place).toEqual({ ...BEGUN, state: "/state", connection });
  expect(runtime.env).not.toHaveProperty("SYNCLINE_PLACE");
});

test("an agent that takes over uses the folders that --state and --sync named when the mount began", () => {
  const options = { state: "/other-states", sync: "/other-work", json: true };
  const callOf = (given: object, place = PLACE) =>
    ({ options: { ...options, ...given }, runtime: taking(place) }) as unknown as Call<"sync">;
  expect(inPlace(callOf({})).options).toEqual({ state: "/states", sync: "/synced", json: true });
  expect(inPlace(callOf({ sync: undefined })).options).toMatchObject({ state: "/states", sync: undefined });
  const begins = { options, runtime: createFakeRuntime({ SYNCLINE_PLACE: JSON.stringify(PLACE) }) };
  expect(inPlace(begins as unknown as Call<"sync">)).toBe(begins);
});

test("only an agent that takes over starts once more, with the files as the agent before it read them", async () => {
  const folder = await temporaryFolder();
  const [state, file] = [join(folder, "state"), join(folder, "config.toml")];
  mkdirSync(state);
  writeFileSync(file, "before");
  const files = new StartFiles();
  files.read(file);
  files.keep(state, true, silentLog);
  writeFileSync(file, "after");
  const error = new Error("an invalid line");
  const runtime = taking({ ...PLACE, state });
  const again = withKeptFiles(runtime, error);
  expect(again?.files.read(file)).toBe("before");
  expect(readFileSync(join(state, "agent.log"), "utf8")).toContain("an invalid line");
  expect(withKeptFiles(taking({ ...BEGUN, connection: "5a" }), error)).toBe(undefined);
  expect(withKeptFiles(createFakeRuntime({ SYNCLINE_HANDOFF: "first" }), error)).toBe(undefined);
  supervisionOf(runtime, state, BEGUN);
  expect(withKeptFiles(runtime, error)).toBe(undefined);
});

describe("an agent that takes over refuses", () => {
  const refused = expect.objectContaining({ code: "precondition_failed" }) as Error;

  test("a state that does not have the mount's text", async () => {
    const state = await temporaryFolder();
    expect(() => refuseOtherState(taking(PLACE), state)).toThrow(refused);
    expect(() => refuseOtherState(taking(PLACE), join(state, "missing"))).toThrow(refused);
    writeFileSync(join(state, "connection"), "5b");
    expect(() => refuseOtherState(taking(PLACE), state)).toThrow(refused);
    writeFileSync(join(state, "connection"), "5a");
    refuseOtherState(taking(PLACE), state);
  });

  test("a state without a last root, if the supervisor told it no text", async () => {
    const state = await temporaryFolder();
    for (const untold of [undefined, { ...PLACE, connection: "" }]) {
      const [runtime, other] = [taking(untold), await temporaryFolder()];
      expect(() => refuseOtherState(runtime, other)).toThrow(refused);
      writeFileSync(join(state, "base.json"), "{}");
      refuseOtherState(runtime, state);
    }
  });
});

test("an agent that begins a mount may have any state", async () => {
  const [runtime, state] = [createFakeRuntime({ SYNCLINE_PLACE: JSON.stringify(PLACE) }), await temporaryFolder()];
  expect(() => refuseOtherState(runtime, state)).not.toThrow();
});

test("if the text cannot be written, later agents are not told one", async () => {
  const supervision = supervisionOf(createFakeRuntime({}), "/state", BEGUN);
  const state = await temporaryFolder();
  expect(noteConnection(state, supervision, silentLog)).toBe(supervision);
  expect(readFileSync(join(state, "connection"), "utf8")).toBe(supervision.place.connection);
  expect(noteConnection(join(state, "missing"), supervision, silentLog).place).toEqual({ ...PLACE, connection: "" });
});
