/** Servers that cannot keep a root are found out, and none is harmed: the probe leaves no objects. */
import { expect, test } from "vitest";
import { systemRandom } from "../../../../src/base/random.ts";
import { checkForm, chooseForm, probe } from "../../../../src/objects/s3/probe.ts";
import { systemClock } from "../../../../src/base/clock.ts";
import type { S3ObjectStore } from "../../../../src/objects/s3/s3-object-store.ts";
import { S3Script } from "../../../support/s3-script.ts";

test("a server that keeps both conditions gets a root that is replaced; R2 and Google get numbers", async () => {
  await using server = await S3Script.start();
  const tools = toolsOf(server.store());
  expect(await probe(tools)).toEqual({ create: undefined, replace: undefined });
  expect(await chooseForm(tools, server.endpoint)).toBe("replaced");
  expect(await chooseForm(tools, "https://abc.r2.cloudflarestorage.com")).toBe("numbered");
  expect(await chooseForm(tools, undefined, "numbered")).toBe("numbered");
  await checkForm(tools, "replaced");
  await checkForm(tools, "numbered");
  expect(server.objects.size).toBe(0);
});

test("a server that only creates safely gets numbered roots", async () => {
  await using server = await S3Script.start();
  server.ignores = new Set(["if-match"]);
  expect(await chooseForm(toolsOf(server.store()), undefined)).toBe("numbered");
  await expect(checkForm(toolsOf(server.store()), "replaced")).rejects.toMatchObject({ code: "not_supported" });
  expect(server.objects.size).toBe(0);
});

test("a server that ignores both is refused, with the reason and the way out", async () => {
  await using server = await S3Script.start();
  server.ignores = new Set(["if-match", "if-none-match"]);
  await expect(chooseForm(toolsOf(server.store()), undefined)).rejects.toMatchObject({
    code: "not_supported",
    message: expect.stringContaining("If-None-Match is ignored"),
    hint: expect.stringContaining("a master in front"),
  });
  await expect(checkForm(toolsOf(server.store()), "numbered")).rejects.toMatchObject({ code: "not_supported" });
  expect(server.objects.size).toBe(0);
});

test("a server that is too busy to decide passes no test, and is not called unsafe", async () => {
  await using server = await S3Script.start();
  const busy = { status: 503, body: "<Error><Code>SlowDown</Code></Error>" };
  server.next("PUT", "serve", ...Array.from({ length: 5 }, () => busy));
  await expect(chooseForm(toolsOf(server.store()), undefined)).rejects.toMatchObject({ code: "store_unreachable" });
  server.next("PUT", "serve", ...Array.from({ length: 5 }, () => busy));
  await expect(checkForm(toolsOf(server.store()), "replaced")).rejects.toMatchObject({ code: "store_unreachable" });
  expect(server.objects.size).toBe(0);
});

test("a server that checks before it has the whole body is found out by racers", async () => {
  await using server = await S3Script.start();
  server.isHasty = true;
  await expect(chooseForm(toolsOf(server.store()), undefined)).rejects.toMatchObject({
    code: "not_supported",
    message: expect.stringContaining("all succeed"),
  });
});

function toolsOf(store: S3ObjectStore) {
  return {
    store,
    clock: { ...systemClock, sleep: (ms: number) => systemClock.sleep(Math.min(ms, 250)) },
    random: systemRandom,
  };
}
