/**
 * Hostile clients of a WebDAV door: XML that grows, bodies and headers over every limit, locks by the thousand, paths that try to get
 * out, slow and idle connections. Each gets a clear answer or is cut; memory stays where it was; another client is served meanwhile.
 *   node scripts/drills/webdav-hostile.ts [CONNECTIONS, default 10000]      a small number, below 1000, leaves out what takes a minute
 */
import { connect, type Socket } from "node:net";
import type { UnmountReport } from "../../src/agent/reports.ts";
import { check, join, percentile, report, rssMiB, syncline, until, workspace } from "./lib.ts";

const connections = Number(process.argv[2] ?? 10_000);
const full = connections >= 1_000;
const space = workspace("webdav-hostile");
const url = `file://${join(space.path, "bucket")}`;
syncline(space, ["init", url]);
const serve = ["webdav", url, "--listen", "127.0.0.1:0", "--no-auth", "--background", "--json"];
const { webdav, pid } = syncline(space, serve).json<{ webdav: string; pid: number }>();
space.pids.add(pid);
const port = Number(new URL(webdav).port);
const HOST = "Host: localhost\r\n";
const WORDS = "what another client wrote";
check((await fetch(`${webdav}f`, { method: "PUT", body: WORDS })).status === 201, "a file is written");
await phase("nobody else", () => new Promise((done) => setTimeout(done, 1_000)));
const calm = rssMiB(pid);

const entities = Array.from({ length: 30 }, (_, n) => `<!ENTITY l${n + 1} "${`&l${n};`.repeat(10)}">`).join("");
const laughs = `<?xml version="1.0"?><!DOCTYPE l [<!ENTITY l0 "ha">${entities}]><propfind xmlns="DAV:"><prop>&l30;</prop></propfind>`;
await phase("a billion laughs", async () => {
  for (let count = 0; count < 50; count++) expectStatus(await propfind(laughs), [400, 403], "entities");
});
await phase("50 MB of XML", async () => {
  const long = `<?xml version="1.0"?><propfind xmlns="DAV:"><prop>${"<a/>".repeat(13_000_000)}</prop></propfind>`;
  const head = `PROPFIND / HTTP/1.1\r\n${HOST}Depth: 0\r\nContent-Length: ${long.length}\r\n\r\n`;
  expectStatus(await raw(head + long), [413, 0], "a long body");
  expectStatus(
    await raw(`${head.replace(/Content-Length.*\r\n\r\n/, "Transfer-Encoding: chunked\r\n\r\n")}${chunked(long)}`),
    [413, 0],
    "a long body in chunks",
  );
});
await phase("nesting of 100,000", async () => {
  const deep = `<propfind xmlns="DAV:">${"<a>".repeat(100_000)}${"</a>".repeat(100_000)}</propfind>`;
  expectStatus(await propfind(deep), [400, 413], "deep XML");
  expectStatus(await raw(`PROPFIND / HTTP/1.1\r\n${HOST}Depth: ${"9".repeat(1_000)}\r\n\r\n`), [400], "a deep Depth");
  expectStatus(
    await raw(`PROPFIND / HTTP/1.1\r\n${HOST}X: ${"x".repeat(100_000)}\r\n\r\n`),
    [431],
    "a header of 100,000 bytes",
  );
  expectStatus(await raw(`GET / HTTP/1.1\r\n${HOST}${"X: y\r\n".repeat(100_000)}\r\n`), [431], "100,000 headers");
  expectStatus(
    await raw(`GET /f HTTP/1.1\r\n${HOST}If: ${"(<urn:x>)".repeat(1_500)}\r\n\r\n`),
    [200, 400, 412],
    "1,500 conditions",
  );
  expectStatus(
    await raw(`GET /f HTTP/1.1\r\n${HOST}Range: bytes=${"0-0,".repeat(3_000)}0-0\r\n\r\n`),
    [200, 206, 416],
    "3,000 ranges",
  );
});
await phase("a flood of locks", async () => {
  const body = `<lockinfo xmlns="DAV:"><lockscope><shared/></lockscope><locktype><write/></locktype></lockinfo>`;
  const granted: string[] = [];
  for (let count = 0; count < (full ? 3_000 : 200); count++) {
    const answer = await fetch(`${webdav}f`, { method: "LOCK", body, headers: { timeout: "Second-600" } });
    await answer.text();
    if (answer.ok) granted.push(answer.headers.get("lock-token") ?? "");
    else expectStatus(answer.status, [403, 423, 429, 503, 507], "a lock too many");
  }
  check(granted.length <= 64, `one file has ${granted.length} locks and no more`);
  for (const token of granted) await fetch(`${webdav}f`, { method: "UNLOCK", headers: { "lock-token": token } });
});
await phase("paths that lead out", async () => {
  const up = [
    "..",
    "%2e%2e",
    "%2E.",
    ".%2e",
    "%252e%252e",
    "..%2f..",
    "..%5c",
    "%c0%ae%c0%ae",
    "%u002e%u002e",
    "..;",
    "%00",
    "\\..",
    "....//",
    "%ef%bc%8e%ef%bc%8e",
  ];
  for (const step of up) {
    for (const path of [
      `/${`${step}/`.repeat(12)}etc/passwd`,
      `//${step}/etc/passwd`,
      `/f/${step}/${step}/etc/passwd`,
      `http://localhost/${step}/etc/passwd`,
    ]) {
      for (const head of [`GET ${path}`, `PROPFIND ${path}`, `DELETE ${path}`]) {
        expectStatus(await raw(`${head} HTTP/1.1\r\n${HOST}Depth: 0\r\n\r\n`), [400, 404, 409, 414], head);
      }
      expectStatus(
        await raw(`MOVE /f HTTP/1.1\r\n${HOST}Destination: ${path}\r\n\r\n`),
        [400, 403, 409, 414, 502],
        `MOVE to ${path}`,
      );
    }
  }
});
if (full) {
  await phase("500 slow headers and 500 slow bodies", async () => {
    const slow = await Promise.all(
      Array.from({ length: 1_000 }, (_, n) =>
        open(n % 2 === 0 ? "GET / HTTP/1.1\r\nX: " : `PUT /slow-${n} HTTP/1.1\r\n${HOST}Content-Length: 1000\r\n\r\n`),
      ),
    );
    const dripping = setInterval(() => slow.forEach((socket) => socket.destroyed || socket.write("x")), 2_000);
    await until(() => slow.every((socket) => socket.destroyed), 180_000, "the end of slow connections");
    clearInterval(dripping);
  });
}
await phase(`${connections} connections`, async () => {
  const held: Socket[] = [];
  for (let from = 0; from < connections; from += 250) {
    const some = Array.from({ length: Math.min(250, connections - from) }, () => open("").catch(() => undefined));
    held.push(...(await Promise.all(some)).filter((socket) => socket !== undefined));
  }
  const left = () => held.filter((socket) => !socket.destroyed).length;
  await until(() => left() <= 1_024, 60_000, "the end of connections that are too many");
  report(`${left()} of them are left`);
  for (const socket of held) socket.destroy();
});

await until(() => rssMiB(pid) < calm + 100, 60_000, "memory near where it was").catch(() => {});
const after = rssMiB(pid);
report(`resident memory: ${calm.toFixed(0)} MiB before, ${after.toFixed(0)} MiB after`);
check(after < calm + 150, "memory is back near where it was");
check((await (await fetch(`${webdav}f`)).text()) === WORDS, "the file is what it was");
check(
  syncline(space, ["unmount", "webdav://127.0.0.1:0", "--json"]).json<UnmountReport>().drained,
  "the agent ends well",
);
check(syncline(space, ["cat", `${url}/f`]).stdout === WORDS, "and the bucket has the file");

/** One attack, while another client writes a small file and reads it all the time. */
async function phase(name: string, attack: () => Promise<unknown>) {
  const times: number[] = [];
  let failures = 0;
  let peak = 0;
  const over = new AbortController();
  const others = (async () => {
    do {
      const began = performance.now();
      try {
        const written = await fetch(`${webdav}other`, { method: "PUT", body: "x" });
        const read = await fetch(`${webdav}other`);
        if (!written.ok || (await read.text()) !== "x") failures++;
      } catch {
        failures++;
      }
      times.push(performance.now() - began);
      peak = Math.max(peak, rssMiB(pid));
      await new Promise((done) => setTimeout(done, 20));
    } while (!over.signal.aborted);
  })();
  await attack();
  over.abort();
  await others;
  const p99 = percentile(times, 0.99).toFixed(0);
  report(`${name}: another client p99 ${p99} ms (${times.length} rounds); memory at most ${peak.toFixed(0)} MiB`);
  check(failures === 0, `${name}: another client is served`);
}

async function propfind(body: string) {
  const answer = await fetch(webdav, { method: "PROPFIND", body, headers: { depth: "0" } });
  await answer.text();
  return answer.status;
}

/** Sends these bytes; the status of the answer, 0 when the connection was cut. */
async function raw(bytes: string) {
  const socket = await open(bytes);
  let text = "";
  socket.on("data", (piece: Buffer) => (text += piece.toString("latin1")));
  await until(() => socket.destroyed || /^HTTP\/1\.1 [2-5]\d\d/.test(text), 60_000, "an answer");
  socket.destroy();
  if (text.includes("root:")) check(false, "no answer holds a file of this machine");
  return Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0);
}

function open(bytes: string) {
  return new Promise<Socket>((done, fail) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.write(bytes);
      done(socket);
    });
    // Who is cut may have bytes on the way.
    socket.on("error", fail).on("end", () => socket.destroy());
  });
}

function chunked(text: string) {
  return `${text.length.toString(16)}\r\n${text}\r\n0\r\n\r\n`;
}

function expectStatus(status: number, expected: readonly number[], what: string) {
  if (!expected.includes(status)) check(false, `${what}: ${status} is one of ${expected.join(", ")}`);
}
