/** What pages from elsewhere ask of an agent that serves WebDAV, and names that were chosen to do harm: real processes. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, expect, test } from "vitest";
import { RawClient } from "../support/raw-http.ts";
import { collect, Workspace } from "../support/syncline.ts";

let space: Workspace;
let url: string;
let agent: ChildProcess;
let at: string;

beforeAll(async () => {
  space = new Workspace("webdav-hostile");
  url = space.url("bucket");
  space.do("init", url);
  agent = space.start(["webdav", url, "--listen", "127.0.0.1:0", "--no-auth", "--json"]);
  const lines = createInterface({ input: agent.stdout as NodeJS.ReadableStream });
  const [line] = (await once(lines, "line")) as [string];
  at = (JSON.parse(line) as { webdav: string }).webdav;
});
afterAll(() => space[Symbol.dispose]());

const CHANGES = ["PUT", "DELETE", "MKCOL", "MOVE", "COPY", "PROPPATCH", "LOCK", "UNLOCK"];

test("a foreign web page changes nothing, under its own host name or across origins", async () => {
  expect((await fetch(`${at}kept`, { method: "PUT", body: "kept" })).status).toBe(201);
  const { host } = new URL(at);
  const lies: readonly (readonly [status: number, headers: readonly string[]])[] = [
    [421, ["Host: evil.example"]],
    [421, [`Host: evil.example:${new URL(at).port}`, "Origin: http://evil.example"]],
    [403, [`Host: ${host}`, "Origin: http://evil.example"]],
    [403, [`Host: ${host}`, "Origin: null"]],
    [403, [`Host: ${host}`, "Origin: http://127.0.0.1:1"]],
    [403, [`Host: ${host}`, "Sec-Fetch-Site: cross-site"]],
    [403, [`Host: ${host}`, "Sec-Fetch-Site: same-site"]],
  ];
  for (const [status, headers] of lies) {
    for (const method of CHANGES) {
      const client = await RawClient.open(at);
      const more = [...headers, `Destination: ${at}moved`, "Lock-Token: <x>", "Content-Length: 4"];
      client.send(`${method} /kept HTTP/1.1\r\n${more.join("\r\n")}\r\n\r\nevil`);
      const answer = await client.answer();
      expect([method, headers, answer.status]).toEqual([method, headers, status]);
      expect(Object.keys(answer.headers).filter((name) => name.startsWith("access-control"))).toEqual([]);
      client.close();
    }
  }
  expect(await (await fetch(`${at}kept`)).text()).toBe("kept");
  space.do("flush");
  expect(space.lines("ls", url)).toMatchObject([{ name: "kept", size: 4 }]);
});

test("every answer carries the headers that keep foreign pages out, even errors and answers without a body", async () => {
  const put = await fetch(`${at}told`, { method: "PUT", body: "told" });
  const etag = String(put.headers.get("etag"));
  const asked: readonly (readonly [status: number, path: string, RequestInit])[] = [
    [200, "told", {}],
    [304, "told", { headers: { "if-none-match": etag } }],
    [404, "nothing", {}],
    [400, "%00", {}],
    [405, "told", { method: "POST" }],
    [412, "told", { method: "PUT", headers: { "if-none-match": "*" }, body: "x" }],
    [416, "told", { headers: { range: "bytes=9-" } }],
  ];
  for (const [status, path, request] of asked) {
    const { status: answered, headers } = await fetch(at + path, request);
    expect([path, answered, Object.fromEntries(headers)]).toMatchObject([
      path,
      status,
      {
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-resource-policy": "same-origin",
        "x-frame-options": "DENY",
        dav: "1, 2",
      },
    ]);
  }
});

/** What a terminal, a log, a page or a program could take for something else. */
const EVIL = [
  "\u001b[2J\u001b]0;owned\u0007",
  "\u009b31mred",
  "\u202Egnp.exe",
  "two\nlines\r\n2026-01-01T00:00:00.000Z error forged",
  "<img src=x onerror=alert(1)>\"'&amp;",
  "$(touch owned)`touch owned`;",
  "é".repeat(127) + "x",
];

// eslint-disable-next-line no-control-regex
const UNSAFE = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069]/;

test("names with escape codes, bidi controls, markup, 255 bytes or invalid UTF-8 do not harm pages, listings or logs", async () => {
  const folder = space.at("odd");
  mkdirSync(folder);
  writeFileSync(Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0x66, 0xff, 0x9b, 0x1b])]), "odd");
  space.do("put", "-r", folder, `${url}/odd`);
  await expect.poll(async () => (await fetch(`${at}odd/f%FF%9B%1B`)).status, { timeout: 60_000 }).toBe(200);
  for (const name of EVIL) {
    const path = `${at}odd/${encodeURIComponent(name)}`;
    expect([name, (await fetch(path, { method: "PUT", body: name })).status]).toEqual([name, 201]);
    expect(await (await fetch(path)).text()).toBe(name);
  }
  space.do("flush");
  const page = await (await fetch(`${at}odd/`, { headers: { accept: "text/html" } })).text();
  const xml = await (await fetch(`${at}odd/`, { method: "PROPFIND", headers: { depth: "1" } })).text();
  const listed = space.do("ls", `${url}/odd`);
  const told = space.run(["cat", `${url}/odd/${EVIL[0]}/none`]).err;
  const log = logs(space.at("state"));
  // The page's script alone reads a name as it is, as an attribute.
  const shown = page.replaceAll(/data-name="[^"]*"/g, "");
  for (const [where, text] of Object.entries({ shown, listed, told, log })) {
    expect([where, UNSAFE.exec(text)?.[0]]).toEqual([where, undefined]);
  }
  expect(page).not.toContain("<img src=x");
  expect(listed.trimEnd().split("\n")).toHaveLength(EVIL.length + 1);
  expect(log).not.toMatch(/^2026-01-01/m);
  // All of them can be told apart and taken away by a client that reads what it is told.
  const hrefs = [...xml.matchAll(/<D:href>(\/odd\/[^<]+)<\/D:href>/g)].map(([, href = ""]) => href);
  expect(new Set(hrefs).size).toBe(EVIL.length + 1);
  for (const href of hrefs) {
    expect([href, (await fetch(new URL(href, at), { method: "DELETE" })).status]).toEqual([href, 204]);
  }
  const ended = collect(agent);
  agent.kill("SIGTERM");
  expect((await ended).status).toBe(0);
  expect(space.do("ls", `${url}/odd`)).toBe("");
});

/** All that agents wrote about themselves. */
function logs(folder: string): string {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".log"))
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), "utf8"))
    .join("");
}
