/** Puts and reads on an S3 server that drops replies, is overloaded for a while, or sends malformed answers. */
import { describe, expect, test } from "vitest";
import type { S3ObjectStore } from "../../../../src/objects/s3/s3-object-store.ts";
import { S3Script } from "../../../support/s3-script.ts";

const body = [Buffer.from("ours")];
const BUSY = { status: 503, body: "<Error><Code>SlowDown</Code></Error>" };
const CONFLICT = { status: 409, body: "<Error><Code>ConditionalRequestConflict</Code></Error>" };

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

test("an answer that is cut is not taken for a whole one", async () => {
  await using server = await S3Script.start();
  server.put("pack/a", "0123456789");
  server.next("GET", { status: 200, body: "01234", headers: { etag: '"1"', "content-length": "10" } });
  expect((await server.store().get("pack/a"))?.bytes).toHaveLength(10);
});

async function listed(store: S3ObjectStore, found: string[]): Promise<void> {
  for await (const { name } of store.list("")) found.push(name);
}
