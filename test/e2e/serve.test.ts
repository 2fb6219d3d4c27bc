/** `syncline serve` as a process: what it prints, what it refuses to start with, and how it ends. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { statSync } from "node:fs";
import { createInterface } from "node:readline";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { walletSigner } from "../../src/crypto/wallet.ts";
import { RawClient } from "../support/raw-http.ts";
import { Workspace } from "../support/syncline.ts";

let space: Workspace;
const running = new Set<ChildProcess>();
const { wallet } = walletSigner(new Uint8Array(32).fill(0x42));

beforeAll(() => void (space = new Workspace("serve")));
afterEach(() => {
  for (const child of running) child.kill("SIGKILL");
  running.clear();
});
afterAll(() => space[Symbol.dispose]());

async function serve(...args: string[]) {
  const [program = "", ...rest] = Workspace.command("serve", "--json", "--listen", "127.0.0.1:0", ...args);
  const child = spawn(program, rest, { env: space.env, stdio: ["ignore", "pipe", "pipe"] });
  running.add(child);
  let err = "";
  child.stderr.on("data", (piece) => (err += String(piece)));
  const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
  const said = JSON.parse(line) as { origin: string; pid: number };
  const ended = async () => {
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    return child.exitCode ?? child.signalCode;
  };
  return { child, ...said, ended, err: () => err };
}

test("serves until a signal, and exits with 0", async () => {
  const master = await serve("--data", space.at("a"), "--allow", wallet);
  const token = space.do("token", "--origin", master.origin).trim();
  const answer = await fetch(`${master.origin}/api/v1/storage`, { headers: { authorization: `Bearer ${token}` } });
  expect(await answer.json()).toEqual({ canUpload: true, usedBytes: 0, quotaBytes: null });
  expect(statSync(space.at("a")).mode & 0o777).toBe(0o700);
  master.child.kill("SIGTERM");
  expect(await master.ended()).toBe(0);
  expect(master.err()).toBe("");
});

test("a second signal does not wait for running requests", async () => {
  const master = await serve("--data", space.at("hurry"), "--allow", wallet);
  const token = space.do("token", "--origin", master.origin).trim();
  const client = await RawClient.open(master.origin);
  client.send(
    `POST /v1/blocks/have HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Length: 9\r\n\r\n{`,
  );
  const idle = await RawClient.open(master.origin);
  await idle.send("GET /health HTTP/1.1\r\nHost: x\r\n\r\n").answer();
  master.child.kill("SIGTERM");
  // It has heard of the first signal once it closes what is idle.
  await idle.closed();
  expect(client.socket.readyState).toBe("open");
  master.child.kill("SIGTERM");
  expect(await master.ended()).toBe(0);
  await expect(client.answer()).rejects.toThrow("the connection ended");
});

test("without --allow it says that it refuses everybody, and what to do", async () => {
  const master = await serve("--data", space.at("nobody"));
  const token = space.do("token", "--origin", master.origin).trim();
  const answer = await fetch(`${master.origin}/api/v1/storage`, { headers: { authorization: `Bearer ${token}` } });
  expect(await answer.json()).toMatchObject({ code: "wallet_not_allowed" });
  await expect.poll(master.err).toContain("--allow WALLET");
});

test("a data folder is served by one master at a time", async () => {
  await serve("--data", space.at("b"), "--allow", wallet);
  const second = space.run(["serve", "--json", "--data", space.at("b"), "--listen", "127.0.0.1:0"]);
  expect(second).toMatchObject({ status: 4 });
  expect(JSON.parse(second.err)).toMatchObject({ code: "state_in_use" });
});

test("--insecure serves on a non-local address, with a warning", async () => {
  const master = await serve("--data", space.at("open"), "--allow", wallet, "--listen", "0.0.0.0:0", "--insecure");
  await expect.poll(master.err).toContain("travel unencrypted");
});
