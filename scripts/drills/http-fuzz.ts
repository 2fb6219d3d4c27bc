/**
 * Mutated requests against a master and a WebDAV door: request lines, headers, framing, lengths, XML, CARs, JSON, tokens. Each is answered
 * with no defect (500) or cut; after each batch both servers answer a good request, memory stays where it was, and in the end the bucket verifies.
 *   node scripts/drills/http-fuzz.ts [SECONDS, default 60] [SEED]
 */
import { readdirSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { signToken } from "../../src/crypto/token.ts";
import { walletSigner } from "../../src/crypto/wallet.ts";
import { cidOf } from "../../src/format/blocks/cid.ts";
import { car } from "./commits.ts";
import { alive, check, join, master, randomOf, report, rssMiB, start, syncline, until, workspace } from "./lib.ts";

interface Server {
  readonly name: string;
  readonly port: number;
  readonly pid: number;
  readonly seeds: readonly Buffer[];
  readonly isWell: () => Promise<boolean>;
  /** Memory before, and at most. */
  calm: number;
  most: number;
  sent: number;
  readonly answers: Record<string, number>;
}

const BATCH = 64;
const MEMORY_MIB = 300;
/** An answer that does not come is cut by us: what was sent may promise more than it brings. */
const PATIENCE_MS = 300;
const seconds = Number(process.argv[2] ?? 60);
const seed = Number(process.argv[3] ?? Date.now() % 2 ** 31);
const random = randomOf(seed);
const upTo = (count: number) => Math.floor(random() * count);
const pick = <Item>(list: readonly Item[]): Item => {
  const picked = list[upTo(list.length)];
  if (picked === undefined) throw new Error("there is nothing to pick from");
  return picked;
};
report(`seed ${seed}`);

const WORDS = [
  "\r\n",
  "\r",
  "\n",
  "\0",
  "\r\n\r\n",
  " ",
  "\t",
  ":",
  ",",
  "%",
  "%00",
  "%ff",
  "%2e%2e/",
  "../",
  "//",
  "?",
  "#",
  "*",
  '"',
  "<",
  ">",
  "&",
  "&#0;",
  "&#x110000;",
  "<![CDATA[",
  "<!DOCTYPE a [<!ENTITY b 'c'>]>",
  "]]>",
  "xmlns:",
  "{",
  "}",
  "[",
  "null",
  "1e999",
  "-1",
  "\uFEFF",
  "18446744073709551616",
  "9007199254740993",
  "0x10",
  "ffffffffffffffff",
  "+5",
  "Transfer-Encoding: chunked\r\n",
  "Content-Length: 0\r\n",
  "Content-Length: 99999999999\r\n",
  "Transfer-Encoding: gzip, chunked\r\n",
  "Connection: close\r\n",
  "Connection: upgrade\r\nUpgrade: h2c\r\n",
  "Expect: 100-continue\r\n",
  "Expect: x\r\n",
  "Host: a\r\n",
  "HTTP/2.0",
  "HTTP/0.9",
  "HTTP/1.0",
  "HEAD",
  "CONNECT",
  "TRACE",
  "SEARCH",
  "PRI",
  "http://a:b@c/",
  "\x80\xff",
  "é",
  "Depth: infinity\r\n",
  "If: ()\r\n",
  "Range: bytes=-0\r\n",
  "bafkr4i",
  "fula-eip712.",
  "=",
];

const MUTATIONS: readonly ((bytes: Buffer) => Buffer)[] = [
  (bytes) => changedAt(bytes, (at) => (bytes[at] = (bytes[at] ?? 0) ^ (1 << upTo(8)))),
  (bytes) => changedAt(bytes, (at) => (bytes[at] = upTo(256))),
  (bytes) => spliced(bytes, upTo(bytes.length), 0, Buffer.from(pick(WORDS), "latin1")),
  (bytes) => spliced(bytes, upTo(bytes.length), 1 + upTo(8), Buffer.alloc(0)),
  (bytes) => spliced(bytes, upTo(bytes.length), 1 + upTo(8), Buffer.from(pick(WORDS), "latin1")),
  (bytes) => bytes.subarray(0, upTo(bytes.length)),
  (bytes) => spliced(bytes, upTo(bytes.length), 0, bytes.subarray(upTo(bytes.length)).subarray(0, upTo(200))),
  (bytes) =>
    spliced(bytes, upTo(bytes.length), 0, Buffer.alloc(upTo(20_000), pick(["a", "<a>", "%41", "[", " ", "\0"]))),
  (bytes) => replacedLine(bytes, (line) => `${line}\r\n${line}`),
  (bytes) => replacedLine(bytes, () => pick(WORDS)),
  (bytes) => replacedLine(bytes, (line) => line.replace(/:.*/s, `: ${pick(WORDS)}`)),
  (bytes) => replacedNumber(bytes),
];

const space = workspace("http-fuzz");
const arbiter = await master(space);
const url = arbiter.url();
syncline(space, ["init", url]);
const token = await signToken(walletSigner(Buffer.alloc(32, 0x42)), Math.floor(Date.now() / 1_000), 20 * 3_600);
const bearer = `Authorization: Bearer ${token}\r\n`;
// Without a body a call revokes the token that it came with.
const revoked = `Authorization: Bearer ${await signToken(walletSigner(Buffer.alloc(32, 0x42)), Math.floor(Date.now() / 1_000), 600)}\r\n`;
const folder = `file://${join(space.path, "bucket")}`;
syncline(space, ["init", folder]);
const door = start(space, ["webdav", folder, "--listen", "127.0.0.1:0", "--no-auth", "--json", "--background"]);
const { webdav, pid: davPid } = JSON.parse((await door).stdout) as { webdav: string; pid: number };
space.pids.add(davPid);
check((await fetch(`${webdav}kept`, { method: "PUT", body: "kept" })).status === 201, "a file is written over WebDAV");
const servers: Server[] = [
  {
    name: "master",
    port: Number(new URL(arbiter.origin).port),
    pid: arbiter.pid,
    seeds: masterSeeds(),
    isWell: masterIsWell,
    ...untold(),
  },
  {
    name: "webdav",
    port: Number(new URL(webdav).port),
    pid: davPid,
    seeds: davSeeds(),
    isWell: davIsWell,
    ...untold(),
  },
];
for (const server of servers) {
  check(await server.isWell(), `${server.name}: a good request is answered`);
  server.calm = rssMiB(server.pid);
}
const untilMs = performance.now() + seconds * 1_000;
while (performance.now() < untilMs) for (const server of servers) await batch(server);

for (const { name, sent, answers, calm, most } of servers) {
  report(
    `${name}: ${sent} requests, memory ${calm.toFixed(0)} MiB before, at most ${most.toFixed(0)}; ${JSON.stringify(answers)}`,
  );
  check(most < calm + MEMORY_MIB, `${name}: memory stays within ${MEMORY_MIB} MiB of where it was`);
}
check((await (await fetch(`${webdav}kept`)).text()) === "kept", "what nobody changed is what it was");
process.kill(davPid, "SIGTERM");
await until(() => !alive(davPid), 30_000, "the door's end");
check((await arbiter.stop()) === 0, "the master ends well");
const logs = readdirSync(space.path, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".log"));
check(logs.length >= 2, `both keep a log: ${logs.join(", ")}`);
for (const name of logs) {
  const defect = /^.*(unhandled|uncaught|TypeError|RangeError|AssertionError).*$/im.exec(
    readFileSync(join(space.path, name), "utf8"),
  );
  check(defect === null, `${name} tells of no defect${defect === null ? "" : `: ${defect[0]}`}`);
}
check(arbiter.verify().status === 0, "verify --data is clean");
check(syncline(space, ["verify", folder], { expect: [0, 8] }).status === 0, "the bucket verifies");

function untold() {
  return { calm: 0, most: 0, sent: 0, answers: {} };
}

async function batch(server: Server) {
  const requests = Array.from({ length: BATCH }, () => mutated(pick(server.seeds)));
  await Promise.all(
    requests.map(async (bytes) => {
      const text = await answerTo(server.port, bytes);
      for (const [, status = ""] of text.matchAll(/HTTP\/1\.1 (\d{3}) /g)) {
        server.answers[status] = (server.answers[status] ?? 0) + 1;
        // WebDAV says 502 of a destination on another server (RFC 4918, section 9.8.5).
        if (status === "500" || (status === "502" && server.name === "master"))
          check(false, `${server.name}: ${status} to ${JSON.stringify(bytes.toString("latin1"))}: ${text}`);
      }
      if (text === "") server.answers["none"] = (server.answers["none"] ?? 0) + 1;
    }),
  );
  server.sent += BATCH;
  server.most = Math.max(server.most, rssMiB(server.pid));
  const well = alive(server.pid) && (await server.isWell());
  if (!well) for (const bytes of requests) report(JSON.stringify(bytes.toString("latin1").slice(0, 2_000)));
  if (!well) check(false, `${server.name}: a good request is answered after a batch`);
}

async function masterIsWell() {
  const health = await fetch(`${arbiter.origin}/v1/buckets/demo/root`, {
    headers: { authorization: `Bearer ${token}` },
  });
  return health.status === 200 && typeof ((await health.json()) as { root: unknown }).root === "string";
}

async function davIsWell() {
  const answer = await fetch(webdav, { method: "PROPFIND", headers: { depth: "0" } });
  return answer.status === 207 && (await answer.text()).includes("multistatus");
}

function answerTo(port: number, bytes: Buffer) {
  return new Promise<string>((done) => {
    const socket = connect(port, "127.0.0.1");
    let text = "";
    const end = () => socket.destroy();
    let timer = setTimeout(end, 10_000);
    socket.on("connect", () => {
      // In two parts now and then: a parser must go on where it stopped.
      const cut = random() < 0.3 ? upTo(bytes.length) : bytes.length;
      socket.write(bytes.subarray(0, cut));
      if (cut < bytes.length) setImmediate(() => socket.write(bytes.subarray(cut)));
      if (random() < 0.1) socket.end();
      clearTimeout(timer);
      timer = setTimeout(end, PATIENCE_MS);
    });
    socket.on("data", (data: Buffer) => {
      text += data.toString("latin1");
      clearTimeout(timer);
      timer = setTimeout(end, 50);
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      clearTimeout(timer);
      done(text);
    });
  });
}

function request(method: string, path: string, headers = "", body: string | Uint8Array = "") {
  const bytes = Buffer.from(body);
  const length = bytes.length > 0 ? `Content-Length: ${bytes.length}\r\n` : "";
  return Buffer.concat([
    Buffer.from(`${method} ${path} HTTP/1.1\r\nHost: localhost\r\n${headers}${length}\r\n`),
    bytes,
  ]);
}

function chunkedRequest(method: string, path: string, headers: string, body: string | Uint8Array) {
  const bytes = Buffer.from(body);
  const half = bytes.length >> 1;
  const chunk = (part: Buffer) =>
    Buffer.concat([Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from("\r\n")]);
  const head = `${method} ${path} HTTP/1.1\r\nHost: localhost\r\n${headers}Transfer-Encoding: chunked\r\n\r\n`;
  const parts = [bytes.subarray(0, half), bytes.subarray(half)].map(chunk);
  return Buffer.concat([Buffer.from(head), ...parts, Buffer.from("0\r\n\r\n")]);
}

function masterSeeds() {
  const block = Buffer.from("a block of the fuzzer");
  const cid = cidOf("raw", block);
  const body = car([{ cid, bytes: block }]);
  const asked = JSON.stringify({ cids: [cid] });
  const root = "/v1/buckets/fuzzed/root";
  return [
    request("GET", "/health"),
    request("GET", "/fula/capabilities"),
    request("GET", "/metrics", bearer),
    request("PUT", `/v0/block?cid=${cid}`, bearer, block),
    request("GET", `/ipfs/${cid}?format=car&dag-scope=all`, bearer),
    request("GET", `/ipfs/${cid}`, `${bearer}Accept: application/vnd.ipld.raw\r\nIf-None-Match: "${cid}"\r\n`),
    request("POST", "/v1/blocks", bearer, body),
    chunkedRequest("POST", "/v1/blocks", bearer, body),
    request("POST", "/v1/blocks/have", bearer, asked),
    chunkedRequest("POST", "/v1/blocks/have", bearer, asked),
    request("POST", "/v1/blocks/get", `${bearer}Expect: 100-continue\r\n`, asked),
    request("GET", "/v1/buckets?after=a", bearer),
    request("PUT", root, `${bearer}If-None-Match: *\r\n`, JSON.stringify({ root: cid })),
    request("PUT", root, `${bearer}If-Match: "${cid}"\r\n`, JSON.stringify({ root: cid })),
    request("GET", "/v1/buckets/demo/watch", `${bearer}Last-Event-ID: 1\r\n`),
    request("POST", "/v1/collection", bearer, '{"dryRun":true}'),
    request("GET", "/api/v1/storage", bearer),
    request("POST", "/v1/session/revoke", revoked, '{"token":"fula-eip712.e30.AAAA"}'),
    request("DELETE", "/v1/buckets/demo/turn", `${bearer}Syncline-Turn: none\r\n`),
  ];
}

function davSeeds() {
  const props = `<?xml version="1.0" encoding="utf-8"?><D:propfind xmlns:D="DAV:"><D:prop><D:getetag/><x:y xmlns:x="urn:z"/></D:prop></D:propfind>`;
  const patch = `<propertyupdate xmlns="DAV:"><set><prop><a xmlns="urn:x">b &amp; c</a></prop></set><remove><prop><q xmlns="urn:x"/></prop></remove></propertyupdate>`;
  const lock = `<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype><owner>me</owner></lockinfo>`;
  const there = "Destination: /there\r\n";
  return [
    request("OPTIONS", "/"),
    request("GET", "/fuzzed", "Range: bytes=0-3,5-\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n"),
    request("GET", "/?list", "Accept: text/html\r\n"),
    request("PUT", "/fuzzed", "If-None-Match: *\r\n", "some words"),
    chunkedRequest("PUT", "/fuzzed", "OC-Checksum: SHA1:00\r\nX-OC-Mtime: 1700000000\r\n", "some words in chunks"),
    request("PUT", "/fuzzed", "Content-Range: bytes 0-3/10\r\nExpect: 100-continue\r\n", "word"),
    request("PROPFIND", "/", "Depth: 1\r\n", props),
    chunkedRequest("PROPFIND", "/", "Depth: 0\r\n", props),
    request("PROPFIND", "/", "Depth: infinity\r\n"),
    request("PROPPATCH", "/fuzzed", "", patch),
    request("LOCK", "/locked", "Timeout: Second-5\r\n", lock),
    request("LOCK", "/locked", "If: (<urn:uuid:00000000-0000-0000-0000-000000000000>)\r\n"),
    request("UNLOCK", "/locked", "Lock-Token: <urn:uuid:00000000-0000-0000-0000-000000000000>\r\n"),
    request("MKCOL", "/made"),
    request("COPY", "/fuzzed", `${there}Overwrite: T\r\nDepth: 0\r\n`),
    request("MOVE", "/there", "Destination: /made/there\r\nOverwrite: F\r\n"),
    request("DELETE", "/made/", 'If: </made/> (["x"] Not <DAV:no-lock>)\r\n'),
    request(
      "REPORT",
      "/",
      "Depth: 1\r\n",
      '<sync-collection xmlns="DAV:"><sync-token/><prop><getetag/></prop></sync-collection>',
    ),
  ];
}

/** Of a request one to four mutations; now and then several in a row on one connection. */
function mutated(bytes: Buffer) {
  const end = bytes.indexOf("\r\n\r\n") + 4;
  if (end < bytes.length && random() < 0.4) return withBody(bytes, end, mutatedPart(bytes.subarray(end)));
  const result = mutatedPart(bytes);
  return random() < 0.2 ? Buffer.concat([result, bytes, result]) : result;
}

/** A body of another length, told in the head. */
function withBody(bytes: Buffer, end: number, body: Buffer) {
  const head = bytes.toString("latin1", 0, end).replace(/(Content-Length: )\d+/, `$1${body.length}`);
  return Buffer.concat([Buffer.from(head, "latin1"), body]);
}

function mutatedPart(bytes: Buffer) {
  let result: Buffer = Buffer.from(bytes);
  for (let times = 1 + upTo(4); times > 0; times--) result = pick(MUTATIONS)(result);
  // Nothing that the fuzzer makes up may touch the file that is compared in the end.
  return Buffer.from(result.toString("latin1").replaceAll("kept", "gone"), "latin1");
}

function changedAt(bytes: Buffer, change: (at: number) => void) {
  if (bytes.length > 0) change(upTo(bytes.length));
  return bytes;
}

function spliced(bytes: Buffer, at: number, removed: number, added: Buffer) {
  return Buffer.concat([bytes.subarray(0, at), added, bytes.subarray(at + removed)]);
}

function replacedLine(bytes: Buffer, change: (line: string) => string) {
  const lines = bytes.toString("latin1").split("\r\n");
  const at = upTo(lines.length);
  lines[at] = change(lines[at] ?? "");
  return Buffer.from(lines.join("\r\n"), "latin1");
}

function replacedNumber(bytes: Buffer) {
  const text = bytes.toString("latin1");
  const numbers = [...text.matchAll(/\d+/g)];
  if (numbers.length === 0) return bytes;
  const { index, 0: found } = pick(numbers);
  const value = pick([
    "0",
    "-1",
    "1",
    "4294967296",
    "9007199254740993",
    "99999999999999999999",
    "1e9",
    "0x1",
    String(Number(found) + 1),
  ]);
  return Buffer.from(text.slice(0, index) + value + text.slice(index + found.length), "latin1");
}
