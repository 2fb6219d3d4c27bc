/**
 * What a listing of very many files over WebDAV takes, by names and with all properties, and how long others wait meanwhile: right after
 * the files were put, cold after a restart, warm, and with a dead property on each file. Others: one connection that asks for one file's
 * properties again and again.
 *   node scripts/drills/webdav-listing.ts [FILES]
 */
import { Agent, request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { check, join, percentile, report, syncline, workspace } from "./lib.ts";

interface Sending {
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly by?: Agent;
}

const files = Number(process.argv[2] ?? 20_000);
const AT_ONCE = 16;
const SETTLE_MS = 3_000;
const NAMED =
  '<propfind xmlns="DAV:"><prop><resourcetype/><getcontentlength/><getlastmodified/><getetag/></prop></propfind>';
const ALL = '<propfind xmlns="DAV:"><allprop/></propfind>';

const space = workspace("webdav-listing");
const url = `file://${join(space.path, "bucket")}`;
syncline(space, ["init", url]);
const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });
const other = new Agent({ keepAlive: true, maxSockets: 1 });

let door = start();
await send("MKCOL", "/many/");
await forAll((index) => send("PUT", path(index), { body: `file ${index}\n` }));
await measure("all, right after the files were put", ALL);
await measure("all, warm", ALL);
await measure("named, warm", NAMED);
restart();
await measure("all, cold", ALL);
restart();
await measure("named, cold", NAMED);
await forAll((index) => send("PROPPATCH", path(index), { body: dead(index) }));
await measure("all with dead properties, right after they were set", ALL);
await measure("all with dead properties, warm", ALL);
restart();
await measure("all with dead properties, cold", ALL);
stop();
check(syncline(space, ["verify", url]).status === 0, "the bucket is in order");

function start() {
  const args = ["webdav", url, "--listen", "127.0.0.1:0", "--no-auth", "--background", "--json"];
  const { webdav, pid } = syncline(space, args).json<{ webdav: string; pid: number }>();
  space.pids.add(pid);
  return { pid, port: Number(new URL(webdav).port) };
}

function stop() {
  syncline(space, ["unmount", "webdav://127.0.0.1:0"]);
  space.pids.delete(door.pid);
}

function restart() {
  stop();
  door = start();
}

/** The listing's seconds and bytes, and how long others waited in milliseconds. */
async function measure(what: string, body: string) {
  // What went before is published, and memory was given back.
  syncline(space, ["flush"]);
  await sleep(SETTLE_MS);
  const waits: number[] = [];
  const over = new AbortController();
  const asking = (async () => {
    while (!over.signal.aborted) {
      const startedMs = performance.now();
      await send("PROPFIND", path(0), { body: NAMED, headers: { depth: "0" }, by: other });
      waits.push(performance.now() - startedMs);
      await sleep(1);
    }
  })();
  const startedMs = performance.now();
  const bytes = await send("PROPFIND", "/many/", { body, headers: { depth: "1" } });
  const s = (performance.now() - startedMs) / 1000;
  over.abort();
  await asking;
  const others = { asked: waits.length, p50: round(percentile(waits, 0.5)), worst: round(Math.max(...waits)) };
  report(JSON.stringify({ listing: what, files, s: round(s), MB: round(bytes / 1e6), others }));
}

async function forAll(action: (index: number) => Promise<unknown>) {
  let next = 0;
  const work = async () => {
    while (next < files) await action(next++);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}

/** How many bytes the answer has. Throws on one that is none of 2xx. */
function send(method: string, at: string, { body, headers = {}, by = agent }: Sending = {}): Promise<number> {
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { "content-length": Buffer.byteLength(body) };
    const options = {
      port: door.port,
      host: "127.0.0.1",
      method,
      path: at,
      agent: by,
      headers: { ...length, ...headers },
    };
    const call = request(options, (response) => {
      let bytes = 0;
      response.on("data", (piece: Buffer) => void (bytes += piece.length));
      response.once("end", () => {
        if (response.statusCode !== undefined && response.statusCode < 300) resolve(bytes);
        else reject(new Error(`${method} ${at}: ${response.statusCode}`));
      });
    });
    call.once("error", reject);
    call.end(body);
  });
}

function path(index: number) {
  return `/many/file-${index}`;
}

function dead(index: number) {
  return `<propertyupdate xmlns="DAV:"><set><prop><note xmlns="urn:x">note ${index}</note></prop></set></propertyupdate>`;
}

function round(value: number) {
  return Number(value.toPrecision(3));
}
