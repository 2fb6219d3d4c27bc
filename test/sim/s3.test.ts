/** A simulated S3 server answers as a real one. */
import { expect, test } from "vitest";
import { MemoryObjectStore } from "../../src/objects/memory-object-store.ts";
import { S3_BUCKET, SimulatedS3 } from "../../src/simulate/s3/simulated-s3.ts";
import { Timeline } from "../../src/simulate/timeline.ts";

test("a HEAD has no body, also where a GET would say what is wrong", async () => {
  const server = new SimulatedS3(new MemoryObjectStore(), new Timeline(), async () => {});
  const asked = {
    path: `/${S3_BUCKET}/missing`,
    headers: {},
    body: Buffer.alloc(0),
    gone: new AbortController().signal,
  };
  const [head, get] = [
    await server.answer({ ...asked, method: "HEAD" }),
    await server.answer({ ...asked, method: "GET" }),
  ];
  expect([head.answer.status, head.answer.body]).toEqual([404, undefined]);
  expect(String(get.answer.body)).toContain("NoSuchKey");
});
