/**
 * Runs the drills of scripts/drills as tests: real processes, real mounts. Small ones, at full size with SYNCLINE_TEST_ALL.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { programOf } from "./s3-server.ts";

const drills = resolve(import.meta.dirname, "../../scripts/drills");

/** Whether drills run at full size. */
export const all = process.env["SYNCLINE_TEST_ALL"] !== undefined;

/** Whether drills with mounts can run here. */
export const canMount = process.platform === "linux" && process.getuid?.() === 0 && existsSync("/dev/fuse");

/** Whether there is an S3 server for drills. */
export const hasS3 = programOf("versitygw") !== undefined;

/** The longest that a drill may clean up after it was told to end, and that it waits for its turn. */
const [CLEANUP_MS, TURN_MS] = [60_000, 2 * 3_600_000];

/** Test `claim`: the drill `script` with `args` ends with status 0 within `timeoutMs`. */
export function drill(claim: string, script: string, args: readonly string[], timeoutMs = 180_000): void {
  const timeout = timeoutMs + CLEANUP_MS + (all ? TURN_MS : 0);
  test(claim, { timeout }, async () => {
    await using _turn = all ? await takeTurn() : undefined;
    const { end, output } = await run([join(drills, script), ...args], timeoutMs);
    expect(end, output).toBe(0);
  });
}

/** A drill that runs too long is ended, so that it does not disturb the next ones. Its output says how far it got. */
async function run(args: readonly string[], timeoutMs: number): Promise<{ end: number | string; output: string }> {
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  let isLate = false;
  child.stdout.on("data", (data) => (output += String(data)));
  child.stderr.on("data", (data) => (output += String(data)));
  const timer = setTimeout(() => {
    isLate = true;
    child.kill("SIGTERM");
  }, timeoutMs);
  const [status, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
  clearTimeout(timer);
  return { end: isLate ? `not ended after ${timeoutMs / 1_000} s` : (status ?? String(signal)), output };
}

/** At full size a drill loads the machine, and some drills measure memory and delays. So one runs at a time, across all test files. */
async function takeTurn(): Promise<AsyncDisposable> {
  const lock = join(tmpdir(), "syncline-drills.lock");
  const holder = spawn("flock", [lock, "sh", "-c", "echo taken; cat"], { stdio: ["pipe", "pipe", "inherit"] });
  const ended = once(holder, "close");
  await once(holder.stdout, "data");
  return {
    async [Symbol.asyncDispose]() {
      holder.stdin.end();
      await ended;
    },
  };
}
