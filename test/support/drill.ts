/**
 * Runs the drills of scripts/drills as tests: real processes, real mounts. Small ones, at full size with SYNCLINE_TEST_ALL.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
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

/** Test `claim`: the drill `script` with `args` ends with status 0 within `timeoutMs`. */
export function drill(claim: string, script: string, args: readonly string[], timeoutMs = 180_000): void {
  test(claim, { timeout: timeoutMs }, async () => {
    const { status, output } = await run([join(drills, script), ...args]);
    expect(status, output).toBe(0);
  });
}

function run(args: readonly string[]): Promise<{ status: number | null; output: string }> {
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  child.stdout.on("data", (data) => (output += String(data)));
  child.stderr.on("data", (data) => (output += String(data)));
  return new Promise((resolve) => child.on("close", (status) => resolve({ status, output })));
}
