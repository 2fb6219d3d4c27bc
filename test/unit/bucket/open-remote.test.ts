import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import { systemRandom } from "../../../src/base/random.ts";
import { bucketInS3 } from "../../../src/bucket/open-remote.ts";
import { cidOf } from "../../../src/format/blocks/cid.ts";
import { encodeRootHint } from "../../../src/format/blocks/root-hint.ts";
import { encodeRoot } from "../../../src/format/blocks/root-object.ts";

const root = encodeRoot({ commit: cidOf("dag-cbor", Buffer.from("commit")), version: 7 });
const ports = { clock: systemClock, random: systemRandom };
let server: S3;

beforeEach(async () => {
  vi.stubEnv("AWS_ACCESS_KEY_ID", "test");
  vi.stubEnv("AWS_SECRET_ACCESS_KEY", "secret");
  server = await S3.start();
});
afterEach(() => {
  vi.unstubAllEnvs();
  server.close();
});

test("the bucket that a path in S3 lies in is found by one read for each part of the path, all at once", async () => {
  server.objects.set("/all/notes/root", root);
  server.answersAfter = 4;
  const found = await bucketInS3(server.url("all/notes/photos/a.jpg"), ports);
  expect(found).toEqual({ depth: 1, address: server.url("all/notes") });
  expect(server.requests.toSorted()).toEqual(
    ["", "/notes", "/notes/photos", "/notes/photos/a.jpg"].map((path) => `GET /all${path}/root`).toSorted(),
  );
});

test("of several buckets the nearest is found, also by numbered roots, and above an address only those above it", async () => {
  server.objects.set("/all/root", root);
  server.objects.set("/all/notes/root", encodeRootHint(3));
  expect(await bucketInS3(server.url("all/notes/a"), ports)).toMatchObject({ depth: 1 });
  expect(await bucketInS3(server.url("all/notes"), ports, { isAbove: true })).toMatchObject({ depth: 0 });
});

test("other objects of that name, and what the key may not read, are no bucket", async () => {
  server.objects.set("/all/notes/root", Buffer.from("#!/bin/sh"));
  server.forbidden.add("/all/root");
  expect(await bucketInS3(server.url("all/notes/a"), ports)).toBeUndefined();
});

/** Answers GET requests, each only when `answersAfter` requests have come. */
class S3 {
  readonly objects = new Map<string, Uint8Array>();
  readonly forbidden = new Set<string>();
  readonly requests: string[] = [];
  answersAfter = 1;
  readonly #server: Server;
  readonly #waiting: (() => void)[] = [];

  private constructor() {
    this.#server = createServer(({ method, url = "" }, response) => {
      this.requests.push(`${method} ${url}`);
      this.#waiting.push(() => this.#answer(url, response));
      if (this.requests.length >= this.answersAfter) for (const answer of this.#waiting.splice(0)) answer();
    });
  }

  static async start(): Promise<S3> {
    const started = new S3();
    await new Promise<void>((done) => started.#server.listen(0, "127.0.0.1", done));
    return started;
  }

  url(path: string): string {
    return `s3://${path}?endpoint=http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  #answer(path: string, response: ServerResponse): void {
    const bytes = this.objects.get(path);
    const code = this.forbidden.has(path) ? "AccessDenied" : "NoSuchKey";
    if (bytes !== undefined) response.writeHead(200, { etag: '"1"' }).end(bytes);
    else
      response
        .writeHead(code === "NoSuchKey" ? 404 : 403)
        .end(`<?xml version="1.0"?><Error><Code>${code}</Code></Error>`);
  }
}
