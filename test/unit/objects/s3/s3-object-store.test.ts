/** Puts and reads on an S3 server that drops replies, is overloaded for a while, or sends malformed answers. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Agent, type Dispatcher } from "undici";
import { describe, expect, onTestFinished, test } from "vitest";
import { type Clock, systemClock } from "../../../../src/base/clock.ts";
import { nextTurn } from "../../../../src/base/concurrency.ts";
import { systemRandom } from "../../../../src/base/random.ts";
import { keptBearer } from "../../../../src/net/bearer.ts";
import { isGivenUp } from "../../../../src/net/patience.ts";
import { S3Client } from "../../../../src/objects/s3/s3-client.ts";
import type { S3ObjectStore } from "../../../../src/objects/s3/s3-object-store.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { S3Script } from "../../../support/s3-script.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const body = [Buffer.from("ours")];
const PACK = [new Uint8Array(16 * 1024 * 1024)];
const BUSY = { status: 503, body: "<Error><Code>SlowDown</Code></Error>" };
const BEGUN = {
  status: 200,
  body: "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>",
};
/** Too large for one put. */
const LARGE_BYTES = 65 * 1024 * 1024;

async function* large() {
  for (let bytes = 0; bytes < LARGE_BYTES; bytes += 1024 * 1024) yield new Uint8Array(1024 * 1024);
}

const CONFLICT = { status: 409, body: "<Error><Code>ConditionalRequestConflict</Code></Error>" };

test("closing the store of a folder leaves the store above it open", async () => {
  await using script = await S3Script.start();
  await using store = script.store();
  script.put("folder/name", "bytes");
  {
    await using folder = store.below("folder/");
    expect((await folder.get("name"))?.bytes.length).toBe(5);
  }
  expect((await store.get("folder/name"))?.bytes.length).toBe(5);
});

describe("a put whose answer is lost", () => {
  test("that took effect is stored: creating and replacing", async () => {
    await using server = await S3Script.start();
    const store = server.store();
    server.next("PUT", "mute");
    expect(await store.putNew("pack/a", body)).toMatchObject({ kind: "stored" });
    server.put("root", "before");
    const token = (await store.get("root"))?.token ?? "";
    server.next("PUT", "mute");
    expect(await store.putIfMatch("root", body, token)).toMatchObject({ kind: "stored" });
    expect(server.objects.get("p/root")?.body.toString()).toBe("ours");
  });

  test("that did not take effect is sent again and stored", async () => {
    await using server = await S3Script.start();
    const store = server.store();
    server.put("root", "before");
    const token = (await store.get("root"))?.token ?? "";
    server.next("PUT", "cut", BUSY, "serve");
    expect(await store.putIfMatch("root", body, token)).toMatchObject({ kind: "stored" });
    server.next("PUT", "cut", "cut", "serve");
    expect(await store.putNew("pack/a", body)).toMatchObject({ kind: "stored" });
  });

  test("is not called refused when a second try is refused: that is what its own first try does", async () => {
    await using server = await S3Script.start();
    const store = server.store();
    server.put("root", "before");
    const token = (await store.get("root"))?.token ?? "";
    // The first try takes effect late, after the look that follows it.
    server.next("PUT", "cut");
    server.next("GET", "serve");
    const putting = store.putIfMatch("root", body, token);
    await expect.poll(() => server.seen.filter(({ method }) => method === "GET").length).toBe(2);
    server.put("root", "ours");
    expect(await putting).toMatchObject({ kind: "stored" });
  });

  test("stays unknown if another root is there now: ours may have been there in between", async () => {
    await using server = await S3Script.start();
    const store = server.store();
    server.put("root", "before");
    const token = (await store.get("root"))?.token ?? "";
    server.put("root", "another's");
    server.next("PUT", "cut");
    expect(await store.putIfMatch("root", body, token)).toMatchObject({ kind: "unknown" });
  });

  test("of a new object is refused if another's is there: created objects are never replaced", async () => {
    await using server = await S3Script.start();
    const store = server.store();
    server.put("roots/1", "another's");
    server.next("PUT", "cut");
    expect(await store.putNew("roots/1", body)).toMatchObject({ kind: "refused" });
  });

  test("stays unknown if the look does not get through either", async () => {
    await using server = await S3Script.start();
    const store = server.store();
    server.next("PUT", "mute");
    server.next("GET", ...Array.from({ length: 6 }, () => "cut" as const));
    expect(await store.putNew("pack/a", body)).toMatchObject({ kind: "unknown" });
  });
});

test("a server that lost patience with a slow line is asked again", async () => {
  await using server = await S3Script.start();
  const store = server.store();
  const IMPATIENT = { status: 400, body: "<Error><Code>RequestTimeout</Code></Error>" };
  server.next("PUT", IMPATIENT, IMPATIENT);
  expect(await store.putNew("pack/a", body)).toMatchObject({ kind: "stored" });
  server.next("PUT", IMPATIENT);
  const token = (await store.get("pack/a"))?.token ?? "";
  expect(await store.putIfMatch("pack/a", body, token)).toMatchObject({ kind: "stored" });
  server.next("PUT", IMPATIENT);
  expect(await store.replace("lease/w", body)).toMatchObject({ kind: "stored" });
});

describe("an object in parts whose completion got no answer", () => {
  const LOST = { status: 412, body: "<Error><Code>PreconditionFailed</Code></Error>" };
  const there = {
    status: 200,
    headers: { etag: '"1"', "content-length": String(LARGE_BYTES), "last-modified": new Date().toUTCString() },
  };
  test("and is refused when sent again is stored if it is there then", async () => {
    await using server = await S3Script.start();
    server.next("POST", BEGUN, "cut", LOST);
    server.next("HEAD", "serve", there);
    expect(await server.store().putNew("run/a", large())).toMatchObject({ kind: "stored" });
    expect(server.seen.filter(({ method }) => method === "DELETE")).toEqual([]);
  });

  test.each([
    ["refused", LOST],
    ["denied", { status: 403, body: "<Error><Code>AccessDenied</Code></Error>" }],
  ])("and is %s when sent again is unknown if it is not to be seen", async (_, fate) => {
    await using server = await S3Script.start();
    server.next("POST", BEGUN, "cut", fate, fate, fate);
    expect(await server.store().putNew("run/a", large())).toMatchObject({ kind: "unknown" });
  });

  test("because its time was over is unknown", async () => {
    await using server = await S3Script.start();
    const end = new AbortController();
    const { promise: after, resolve } = Promise.withResolvers<void>();
    server.next("POST", BEGUN, { status: 200, after });
    const putting = server.store().putNew("run/a", large(), { signal: end.signal });
    await expect.poll(() => server.seen.filter(({ method }) => method === "POST").length, { timeout: 20_000 }).toBe(2);
    end.abort(new Error("over"));
    expect(await putting).toMatchObject({ kind: "unknown" });
    resolve();
  });
});

test("a 409 is tried again: it only says that another put is under way", async () => {
  await using server = await S3Script.start();
  const store = server.store();
  server.next("PUT", CONFLICT, CONFLICT, "serve");
  expect(await store.putNew("pack/a", body)).toMatchObject({ kind: "stored" });
});

test("a clear refusal is believed at once", async () => {
  await using server = await S3Script.start();
  const store = server.store();
  server.put("root", "another's");
  expect(await store.putNew("root", body)).toEqual({ kind: "refused" });
  expect(await store.putIfMatch("root", body, '"other"')).toEqual({ kind: "refused" });
  expect(server.seen.map(({ method }) => method)).toEqual(["PUT", "PUT"]);
  expect(store.requests()).toMatchObject({ put: 2, get: 0, refused: 2 });
});

test("conditions and ranges are spelt as every server reads them", async () => {
  await using server = await S3Script.start();
  const store = server.store();
  await store.putNew("pack/a", body);
  const { token = "" } = (await store.get("pack/a")) ?? {};
  await store.putIfMatch("pack/a", body, token);
  const [create, , replace] = server.seen;
  expect(create?.headers).toMatchObject({ "if-none-match": "*", "content-length": "4" });
  expect(create?.headers["if-match"]).toBeUndefined();
  expect(replace?.headers).toMatchObject({ "if-match": token });
  expect(replace?.headers["if-none-match"]).toBeUndefined();
  const asked = Object.keys(create?.headers ?? {}).filter((name) => name.startsWith("x-amz-"));
  expect(asked.sort()).toEqual(["x-amz-content-sha256", "x-amz-date"]);
});

describe("errors say what to do", () => {
  test.each([
    [
      "no such S3 bucket",
      { status: 404, body: "<Error><Code>NoSuchBucket</Code></Error>" },
      "store_failed",
      /Make the S3 bucket/,
    ],
    [
      "a key without rights",
      { status: 403, body: "<Error><Code>AccessDenied</Code></Error>" },
      "store_failed",
      /s3:PutObject/,
    ],
    ["a wrong key", { status: 403, body: "<Error><Code>SignatureDoesNotMatch</Code></Error>" }, "bad_token", /secret/],
    [
      "a session that ended",
      { status: 400, body: "<Error><Code>ExpiredToken</Code></Error>" },
      "bad_token",
      /AWS_SESSION_TOKEN/,
    ],
    ["a full account", { status: 403, body: "<Error><Code>QuotaExceeded</Code></Error>" }, "disk_full", /quota/],
  ])("%s", async (_, fate, code, hint) => {
    await using server = await S3Script.start();
    server.next("PUT", fate);
    await expect(server.store().putNew("pack/a", body)).rejects.toMatchObject({
      code,
      hint: expect.stringMatching(hint),
    });
  });

  test("without credentials nothing is sent", async () => {
    await using server = await S3Script.start();
    const env = { HOME: "/nonexistent", AWS_EC2_METADATA_DISABLED: "true" };
    await expect(server.store(env).get("root")).rejects.toMatchObject({ code: "bad_token" });
    expect(server.seen).toEqual([]);
  });

  test("a server that is away is said to be so, without the key", async () => {
    const server = await S3Script.start();
    const store = server.store();
    await server[Symbol.asyncDispose]();
    const refusal = await store.get("root").catch((error: unknown) => error);
    expect(refusal).toMatchObject({ code: "store_unreachable" });
    expect(String(refusal)).not.toContain("secret");
  });
});

describe("a command that waits", () => {
  /** Sleeps are over at once, and take their time on this clock. */
  function patient(server: S3Script, ms = 10_000) {
    const manual = new ManualClock();
    const clock = { monotonicMs: () => manual.monotonicMs(), sleep: (sleepMs: number) => manual.advance(sleepMs) };
    const told: string[] = [];
    const waiting = ({ message }: Error) => void told.push(message);
    return { store: server.store(undefined, clock, { patience: { ms, waiting } }), told, manual };
  }

  test("reads and puts once the server is well again", async () => {
    await using server = await S3Script.start();
    server.put("root", "before");
    const { store, told } = patient(server, 60_000);
    server.next("GET", ...Array.from({ length: 10 }, () => BUSY), "serve");
    expect((await store.get("root"))?.bytes.length).toBe(6);
    server.next("GET", ...Array.from({ length: 10 }, () => "cut" as const), "serve");
    server.next("PUT", "cut", "serve");
    expect(await store.putNew("pack/a", body)).toMatchObject({ kind: "stored" });
    expect(told).toHaveLength(2);
  });

  test("repeats a put for all of its time while the server answers reads and is too busy for puts", async () => {
    await using server = await S3Script.start();
    const { store, told, manual } = patient(server, 60_000);
    server.next("PUT", ...Array.from({ length: 10 }, () => BUSY), "serve", ...Array.from({ length: 60 }, () => BUSY));
    expect(await store.putNew("pack/a", body)).toMatchObject({ kind: "stored" });
    const beganMs = manual.monotonicMs();
    const outcome = await store.putNew("pack/b", body);
    expect(outcome).toMatchObject({ kind: "unknown", cause: { message: "503 SlowDown" } });
    expect(outcome.kind === "unknown" && isGivenUp(outcome.cause)).toBe(true);
    expect(manual.monotonicMs() - beganMs).toBeCloseTo(60_000);
    expect(told).toHaveLength(2);
  });

  test("repeats the completion of an object in parts likewise", async () => {
    await using server = await S3Script.start();
    const { store } = patient(server, 60_000);
    const done = "<CompleteMultipartUploadResult><ETag>1</ETag></CompleteMultipartUploadResult>";
    server.next("POST", BEGUN, ...Array.from({ length: 10 }, () => BUSY), { status: 200, body: done });
    expect(await store.putNew("run/a", large())).toMatchObject({ kind: "stored", token: "1" });
  });

  test.each(["get", "put"] as const)("gives up a server that is gone once its time is over: %s", async (call) => {
    const server = await S3Script.start();
    const { store, told, manual } = patient(server);
    await server[Symbol.asyncDispose]();
    const work = call === "get" ? store.get("root") : store.putNew("pack/a", body);
    await expect(work).rejects.toMatchObject({ code: "store_unreachable" });
    expect(manual.monotonicMs()).toBe(10_000);
    expect(told).toHaveLength(1);
  });

  test("gives up a server that was silent all the time after one try", async () => {
    await using server = await S3Script.start();
    const manual = new ManualClock();
    const clock: Partial<Clock> = {
      monotonicMs: () => manual.monotonicMs(),
      after: (ms, action) => manual.after(ms, action),
    };
    const patience = { ms: 2_000, silenceMs: 2_000, waiting: () => {} };
    const store = server.store(undefined, clock, { patience });
    server.next("GET", { status: 200, after: new Promise(() => {}) });
    const failed = store.get("root").catch((error: unknown) => error);
    await expect.poll(() => server.seen.length).toBe(1);
    await manual.advance(2_000);
    expect(await failed).toMatchObject({ code: "store_unreachable" });
    expect(server.seen).toHaveLength(1);
  });
});

test.each([
  ["InvalidAccessKeyId", { id: "NEW" }],
  ["InvalidToken", { token: "new" }],
  ["InvalidTokenId", { token: "new" }],
  ["SignatureDoesNotMatch", { secret: "new" }],
  ["ExpiredToken", { token: "new" }],
])("a key that is rotated in its file is read again after %s", async (code, rotated) => {
  await using server = await S3Script.start();
  const file = join(await temporaryFolder(), "credentials");
  const keys = ({ id = "OLD", secret = "old", token = "old" }) =>
    writeFileSync(
      file,
      `[default]\naws_access_key_id = ${id}\naws_secret_access_key = ${secret}\naws_session_token = ${token}\n`,
    );
  keys({});
  const store = server.store({
    AWS_SHARED_CREDENTIALS_FILE: file,
    HOME: "/nonexistent",
    AWS_EC2_METADATA_DISABLED: "true",
  });
  server.put("root", "before");
  await store.get("root");
  const refused = { status: 403, body: `<Error><Code>${code}</Code></Error>` };
  server.next("GET", refused);
  await expect(store.get("root")).rejects.toMatchObject({ code: "bad_token" });
  keys(rotated);
  server.next("GET", refused);
  expect((await store.get("root"))?.bytes.length).toBe(6);
});

test("a clock that is off is corrected by the server's", async () => {
  await using server = await S3Script.start();
  const store = server.store();
  const date = new Date(Date.now() - 3 * 3_600_000);
  server.next("PUT", {
    status: 403,
    body: "<Error><Code>RequestTimeTooSkewed</Code></Error>",
    headers: { date: date.toUTCString() },
  });
  expect(await store.putNew("pack/a", body)).toMatchObject({ kind: "stored" });
  const [first, second] = server.seen.map(({ headers }) => String(headers["x-amz-date"]));
  expect(second?.slice(0, 11)).toBe(date.toISOString().replaceAll(/[:-]/g, "").slice(0, 11));
  expect(first).not.toBe(second);
});

describe("the region that a refusal names", () => {
  const body = "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>";

  test("serves all requests that were refused together", async () => {
    await using server = await S3Script.start();
    const dispatcher = new Agent();
    onTestFinished(() => dispatcher.close());
    const store = server.store(undefined, {}, { dispatcher });
    const names = ["pack/a", "pack/b", "pack/c"];
    for (const name of names) server.put(name, name);
    const { promise: after, resolve } = Promise.withResolvers<void>();
    const elsewhere = { status: 400, body, after };
    server.next("GET", elsewhere, elsewhere, elsewhere);
    const getting = Promise.all(names.map((name) => store.get(name)));
    await expect.poll(() => server.seen.length).toBe(3);
    resolve();
    expect((await getting).map((object) => Buffer.from(object?.bytes ?? "").toString())).toEqual(names);
    expect(server.seen.at(-1)?.headers.authorization).toContain("/eu-west-1/s3/");
  });

  test("leads to no other host", async () => {
    const asked: unknown[] = [];
    // Sends nothing, and answers each request with a region that would end the host's name.
    const dispatch: Dispatcher["dispatch"] = ({ origin }, handler) => {
      asked.push(String(origin));
      const controller = {
        abort: () => {},
        pause: () => {},
        resume: () => {},
      } as unknown as Dispatcher.DispatchController;
      queueMicrotask(() => {
        handler.onRequestStart?.(controller, undefined);
        handler.onResponseStart?.(controller, 301, { "x-amz-bucket-region": "evil.example/x" });
        handler.onResponseData?.(controller, Buffer.from("<Error><Code>PermanentRedirect</Code></Error>"));
        handler.onResponseEnd?.(controller, {});
      });
      return true;
    };
    const keys = { AWS_ACCESS_KEY_ID: "key", AWS_SECRET_ACCESS_KEY: "secret" };
    const clientIn = (region: string) =>
      new S3Client({
        bucket: "bucket",
        endpoint: undefined,
        region: undefined,
        style: "virtual",
        clock: systemClock,
        random: systemRandom,
        env: { ...keys, AWS_REGION: region },
        dispatcher: { dispatch },
      });
    await using client = clientIn("eu-west-1");
    expect((await client.read({ method: "GET", key: "root" })).status).toBe(301);
    expect(asked).toEqual(["https://bucket.s3.eu-west-1.amazonaws.com"]);
    await using misled = clientIn("evil.example/x");
    await expect(misled.read({ method: "GET", key: "root" })).rejects.toMatchObject({ code: "config_invalid" });
  });

  test("leaves requests under way alone", async () => {
    await using server = await S3Script.start();
    const store = server.store();
    server.put("pack/a", "a");
    const { promise: after, resolve } = Promise.withResolvers<void>();
    server.next("PUT", { status: 200, headers: { etag: '"1"' }, after });
    server.next("GET", { status: 400, body });
    const putting = store.putNew("pack/b", [Buffer.from("b")]);
    await expect.poll(() => server.seen.length).toBe(1);
    expect(await store.get("pack/a")).toBeDefined();
    resolve();
    expect(await putting).toMatchObject({ kind: "stored" });
    expect(server.seen.map(({ method }) => method)).toEqual(["PUT", "GET", "GET"]);
  });
});

describe("a refused HEAD has no body", () => {
  test.each([
    ["a clock that is off", 403, "RequestTimeTooSkewed"],
    ["another region", 400, "AuthorizationHeaderMalformed"],
  ])("so a GET of one byte learns of %s", async (_, status, code) => {
    await using server = await S3Script.start();
    server.put("pack/a", "0123456789");
    server.next("HEAD", { status });
    const body = `<Error><Code>${code}</Code><Region>eu-west-1</Region></Error>`;
    server.next("GET", { status, body });
    expect(await server.store().head("pack/a")).toMatchObject({ size: 10 });
    expect(server.seen.map(({ method }) => method)).toEqual(["HEAD", "GET", "HEAD"]);
    expect(server.seen[1]?.headers["range"]).toBe("bytes=0-0");
  });

  test("so a missing S3 bucket is told from an absent object", async () => {
    await using server = await S3Script.start();
    const store = server.store();
    expect(await store.head("pack/a")).toBeUndefined();
    server.next("HEAD", { status: 404 });
    server.next("GET", { status: 404, body: "<Error><Code>NoSuchBucket</Code></Error>" });
    await expect(store.head("pack/a")).rejects.toMatchObject({ hint: expect.stringContaining("Make the S3 bucket") });
  });
});

describe("a bearer", () => {
  /** Makes token-1, token-2, … each time one is refused. */
  const bearers = () =>
    keptBearer(
      systemClock,
      60_000,
      (
        (made) => async () =>
          `token-${++made}`
      )(0),
    );
  const REFUSED = { status: 401, body: "<Error><Code>InvalidToken</Code></Error>" };

  test("that is refused is made anew once", async () => {
    await using server = await S3Script.start();
    const store = server.store({}, {}, { bearer: bearers() });
    server.next("PUT", REFUSED);
    expect(await store.putNew("pack/a", body)).toMatchObject({ kind: "stored" });
    expect(server.seen.map(({ headers }) => headers.authorization)).toEqual(["Bearer token-1", "Bearer token-2"]);
  });

  test("that is refused again is an error", async () => {
    await using server = await S3Script.start();
    const store = server.store({}, {}, { bearer: bearers() });
    server.next("PUT", REFUSED, REFUSED, REFUSED);
    await expect(store.putNew("pack/a", body)).rejects.toMatchObject({ code: "bad_token" });
    expect(server.seen).toHaveLength(2);
  });
});

test("certificates of --tls-ca are trusted, and others are not", async () => {
  const file = (name: string) => readFileSync(new URL(`../../../support/tls/${name}`, import.meta.url), "utf8");
  await using server = await S3Script.start({ cert: file("cert.pem"), key: file("key.pem") });
  const trusting = server.store(undefined, {}, { tlsCa: file("cert.pem") });
  expect(await trusting.putNew("pack/a", body)).toMatchObject({ kind: "stored" });
  await expect(server.store().get("pack/a")).rejects.toMatchObject({
    code: "store_unreachable",
    hint: expect.stringContaining("--tls-ca"),
  });
});

describe("a listing", () => {
  const whole = (more: string) =>
    `<?xml version="1.0"?><ListBucketResult>${more}<Contents><Key>p/pack/a</Key><Size>3</Size><LastModified>2026-01-01T00:00:00Z</LastModified></Contents></ListBucketResult>`;

  test.each([
    ["cut in the middle", whole("<IsTruncated>false</IsTruncated>").slice(0, -30)],
    ["without its end mark", whole("")],
    ["truncated without saying where it goes on", whole("<IsTruncated>true</IsTruncated>")],
    ["of something else", "<html><body>welcome</body></html>"],
    ["empty", ""],
    ["with a size that is not a number", whole("<IsTruncated>false</IsTruncated>").replace("<Size>3", "<Size>x")],
  ])("%s ends with an error, not as a short one", async (_, text) => {
    await using server = await S3Script.start();
    server.next("GET", { status: 200, body: text });
    await expect(listed(server.store(), [])).rejects.toMatchObject({ code: "store_failed" });
  });

  test("that repeats a page ends with an error", async () => {
    await using server = await S3Script.start();
    const more = "<IsTruncated>true</IsTruncated><NextContinuationToken>same</NextContinuationToken>";
    const page = { status: 200, body: whole(more) };
    server.next("GET", page, page);
    const found: string[] = [];
    await expect(listed(server.store(), found)).rejects.toMatchObject({ code: "store_failed" });
    expect(found).toEqual(["pack/a", "pack/a"]);
  });

  test("goes on at the next page, and a page that fails ends it", async () => {
    await using server = await S3Script.start();
    const more = "<IsTruncated>true</IsTruncated><NextContinuationToken>n+1/=</NextContinuationToken>";
    server.next(
      "GET",
      { status: 200, body: whole(more) },
      { status: 403, body: "<Error><Code>AccessDenied</Code></Error>" },
    );
    const found: string[] = [];
    await expect(listed(server.store(), found)).rejects.toMatchObject({ code: "store_failed" });
    expect(found).toEqual(["pack/a"]);
    expect(server.seen[1]?.path).toContain("continuation-token=n+1/=");
  });
});

test.each([
  ["a proxy", "<html>Not Found</html>"],
  ["a server that does not know the key of the account", "<Error><Code>XAdminUserNotFound</Code></Error>"],
])("a 404 of %s does not mean that the object is absent", async (_, body) => {
  await using server = await S3Script.start();
  const store = server.store();
  server.next("GET", { status: 404, body }, { status: 404, body });
  await expect(store.get("root")).rejects.toMatchObject({ code: expect.stringMatching("store_failed|bad_token") });
  await expect(store.getTail("root", 1)).rejects.toMatchObject({
    code: expect.stringMatching("store_failed|bad_token"),
  });
  server.next("PUT", { status: 404, body });
  await expect(store.putNew("pack/a", [Buffer.from("x")])).rejects.toBeInstanceOf(Error);
});

test("a put that may have been stored is unknown, whatever goes wrong after it", async () => {
  await using server = await S3Script.start();
  const store = server.store();
  server.put("root", "before");
  const token = (await store.get("root"))?.token ?? "";
  server.next("PUT", "cut", { status: 403, body: "<Error><Code>AccessDenied</Code></Error>" });
  expect(await store.putIfMatch("root", body, token)).toMatchObject({ kind: "unknown" });
});

describe("a page of a proxy, with status 200", () => {
  const PAGE = { status: 200, headers: { "content-type": "text/html" }, body: "<html>Down for maintenance</html>" };

  test("stores nothing: a put is looked up and sent again", async () => {
    await using server = await S3Script.start();
    const store = server.store();
    server.put("root", "before");
    const token = (await store.get("root"))?.token ?? "";
    server.next("PUT", PAGE, PAGE);
    expect(await store.putNew("pack/a", body)).toMatchObject({ kind: "stored", token: expect.any(String) });
    server.next("PUT", PAGE);
    expect(await store.putIfMatch("root", body, token)).toMatchObject({ kind: "stored", token: expect.any(String) });
    server.next("PUT", PAGE);
    expect(await store.replace("lease/w", body)).toMatchObject({ kind: "stored", token: expect.any(String) });
    for (const name of ["p/pack/a", "p/root", "p/lease/w"]) expect(server.objects.get(name)?.body).toEqual(body[0]);
  });

  test("that stays is an outcome that is not known, and a server that does not answer", async () => {
    await using server = await S3Script.start();
    const store = server.store();
    server.next("PUT", ...Array.from({ length: 6 }, () => PAGE));
    expect(await store.putNew("pack/a", body)).toMatchObject({ kind: "unknown" });
    expect(await store.race("pack/a", body, undefined, async () => {})).toMatchObject({ kind: "unknown" });
    server.next("PUT", ...Array.from({ length: 6 }, () => PAGE));
    await expect(store.replace("lease/w", body)).rejects.toMatchObject({
      code: "store_unreachable",
      message: expect.stringContaining("proxy"),
    });
  });

  test("is not taken for an object: ranges, tails and sizes are requested again", async () => {
    await using server = await S3Script.start();
    const store = server.store();
    server.put("pack/a", "0123456789");
    const range = { offset: 2, length: 3 };
    server.next("GET", PAGE);
    expect(Buffer.concat(await store.getRanges("pack/a", [range])).toString()).toBe("234");
    server.next("GET", PAGE);
    const taken: Buffer[] = [];
    await store.streamRanges("pack/a", [range], (_range, _at, part) => void taken.push(Buffer.from(part)));
    expect(Buffer.concat(taken).toString()).toBe("234");
    server.next("GET", PAGE);
    expect(await store.getTail("pack/a", 2)).toMatchObject({ size: 10 });
    server.next("HEAD", {
      status: 200,
      headers: { "content-length": "33", "last-modified": new Date().toUTCString() },
    });
    expect(await store.head("pack/a")).toMatchObject({ size: 10 });
  });

  test("deletes nothing", async () => {
    await using server = await S3Script.start();
    server.put("pack/a", "a");
    server.next("DELETE", PAGE);
    await server.store().delete("pack/a");
    expect([...server.objects.keys()]).toEqual([]);
  });
});

test("an answer that is cut is not taken for a whole one", async () => {
  await using server = await S3Script.start();
  server.put("pack/a", "0123456789");
  server.next("GET", { status: 200, body: "01234", headers: { etag: '"1"', "content-length": "10" } });
  expect((await server.store().get("pack/a"))?.bytes).toHaveLength(10);
});

test("an answer of unknown length that is too long is not taken for a whole one", async () => {
  await using server = await S3Script.start();
  server.put("pack/a", "0123456789");
  server.next("GET", { status: 403, body: `<Error><Code>AccessDenied</Code></Error>${" ".repeat(2_000_000)}` });
  expect((await server.store().get("pack/a"))?.bytes).toHaveLength(10);
});

test.each([
  ["whose length is known", { "content-length": "50000000" }],
  ["of unknown length", {}],
])("an object %s that is larger than it may be is refused at once", async (_, headers) => {
  await using server = await S3Script.start();
  const body = "x".repeat(50_000_000);
  for (const name of ["root", "roots/0000000000000001", "genesis", "lease/w", "bases/w"]) {
    server.next("GET", { status: 200, body, headers: { etag: '"1"', ...headers } });
    await expect(server.store().get(name)).rejects.toMatchObject({
      code: "format_invalid",
      message: expect.stringContaining(name),
    });
  }
  expect(server.seen).toHaveLength(5);
});

test("a request is not sent before there is a connection for it", async () => {
  await using server = await S3Script.start();
  const handlers: Dispatcher.DispatchHandler[] = [];
  const controller = { pause: () => {}, resume: () => {}, abort: () => {} } as unknown as Dispatcher.DispatchController;
  const dispatch = (_: unknown, handler: Dispatcher.DispatchHandler) => {
    handlers.push(handler);
    handler.onRequestStart?.(controller, {});
    return true;
  };
  const store = server.store(undefined, {}, { dispatcher: { dispatch } });
  const all = Array.from({ length: 40 }, (_, at) => store.get(`pack/${at}`));
  await expect.poll(() => handlers.length).toBe(32);
  await nextTurn();
  expect(handlers).toHaveLength(32);
  for (let answered = 0; answered < all.length; answered++) {
    await expect.poll(() => handlers.length).toBeGreaterThan(answered);
    const handler = handlers[answered];
    handler?.onResponseStart?.(controller, 200, { "content-length": "1", etag: '"1"' }, "OK");
    handler?.onResponseData?.(controller, Buffer.from("a"));
    handler?.onResponseEnd?.(controller, {});
  }
  for (const object of await Promise.all(all)) expect(object?.bytes).toHaveLength(1);
});

const putPack = (store: S3ObjectStore) => store.putNew("pack/a", PACK);
const waiting = () => {};

test.each([
  ["a minute to receive and store the rest of a pack that the system has taken", putPack, Infinity, 80, undefined],
  ["as long for a command that waits", putPack, Infinity, 80, { ms: 60_000, waiting }],
  [
    "with --timeout 5, 13 seconds to receive and store it",
    putPack,
    Infinity,
    12,
    { ms: 5_000, silenceMs: 5_000, waiting },
  ],
  ["ten seconds to receive so much of a pack that the system takes more", putPack, 20, 12, undefined],
  ["ten seconds to answer a read", (store: S3ObjectStore) => store.get("pack/a"), 0, 9, undefined],
])("a server may take %s", async (_, ask, pieces, seconds, patience) => {
  await using server = await S3Script.start();
  const clock = new ManualClock();
  let aborted = 0;
  const controller = { abort: () => void aborted++ } as unknown as Dispatcher.DispatchController;
  const dispatch = ({ body }: { body?: unknown }, handler: Dispatcher.DispatchHandler) => {
    handler.onRequestStart?.(controller, {});
    const rest = ((body ?? []) as Iterable<Uint8Array>)[Symbol.iterator]();
    for (let taken = 0; taken < pieces && rest.next().done !== true; taken++);
    return true;
  };
  const manual: Partial<Clock> = {
    monotonicMs: () => clock.monotonicMs(),
    sleep: (ms, signal) => clock.sleep(ms, signal),
    after: (ms, action) => clock.after(ms, action),
  };
  ask(server.store(undefined, manual, { dispatcher: { dispatch }, patience })).catch(() => {});
  await expect.poll(() => clock.count).toBe(1);
  await clock.advance(seconds * 1_000);
  expect(aborted).toBe(0);
  await clock.advance(20_000);
  expect(aborted).toBeGreaterThan(0);
});

async function listed(store: S3ObjectStore, found: string[]): Promise<void> {
  for await (const { name } of store.list("")) found.push(name);
}
