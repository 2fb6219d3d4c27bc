/** Credentials from each place where AWS's own tools look, in their order, and fetched again before they end. */
import { createServer } from "node:http";
import { mkdir, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { systemClock } from "../../../../src/base/clock.ts";
import { CredentialChain, regionOf } from "../../../../src/objects/s3/credentials.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const OFF = { AWS_EC2_METADATA_DISABLED: "true" };
const KEYS = { AWS_ACCESS_KEY_ID: "env-key", AWS_SECRET_ACCESS_KEY: "env-secret" };

function chain(env: Record<string, string>, nowMs = () => Date.now()) {
  return new CredentialChain(env, { ...systemClock, nowNs: () => BigInt(nowMs()) * 1_000_000n, monotonicMs: nowMs });
}

/** A home with AWS's two files. */
async function home(): Promise<string> {
  const path = await temporaryFolder();
  await mkdir(join(path, ".aws"));
  await writeFile(
    join(path, ".aws/credentials"),
    "[default]\naws_access_key_id = file-key\naws_secret_access_key = file-secret\n[work]\naws_access_key_id=work-key\naws_secret_access_key=work/secret+=\naws_session_token = work-token\n",
  );
  await writeFile(
    join(path, ".aws/config"),
    "[default]\nregion = eu-west-1\n[profile work]\nregion=eu-north-1\n[profile bare]\nregion=x\n",
  );
  return path;
}

/** Answers each path with what `answers` has for it, and remembers the requests. */
async function endpoint(answers: Record<string, () => string>) {
  const seen: { path: string; method: string; headers: Record<string, unknown> }[] = [];
  const server = createServer((request, response) => {
    const { url = "", method = "", headers } = request;
    seen.push({ path: url, method, headers });
    const answer = answers[url];
    response.writeHead(answer === undefined ? 404 : 200).end(answer?.() ?? "");
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { origin, seen, [Symbol.asyncDispose]: () => new Promise<void>((done) => void server.close(() => done())) };
}

function temporary(key: string, endsMs: number) {
  const Expiration = new Date(endsMs).toISOString();
  return JSON.stringify({ AccessKeyId: key, SecretAccessKey: "s", Token: "t", Expiration });
}

test("the environment counts first", async () => {
  const env = { ...OFF, ...KEYS, AWS_SESSION_TOKEN: "token", HOME: await home() };
  expect(await chain(env).get()).toEqual({
    accessKeyId: "env-key",
    secretAccessKey: "env-secret",
    sessionToken: "token",
  });
});

test("then the profile, with its region", async () => {
  const env = { ...OFF, HOME: await home() };
  expect(await chain(env).get()).toMatchObject({ accessKeyId: "file-key", secretAccessKey: "file-secret" });
  expect(await regionOf(env)).toBe("eu-west-1");
  const work = { ...env, AWS_PROFILE: "work" };
  expect(await chain(work).get()).toMatchObject({ secretAccessKey: "work/secret+=", sessionToken: "work-token" });
  expect(await regionOf(work)).toBe("eu-north-1");
  expect(await regionOf({ ...work, AWS_REGION: "us-west-2" })).toBe("us-west-2");
});

test("a profile that is named and has no key is an error that names it", async () => {
  for (const [AWS_PROFILE, message] of [
    ["bare", "The AWS profile bare has no access key."],
    ["missing", "There is no AWS profile missing."],
  ] as const) {
    const env = { ...OFF, HOME: await home(), AWS_PROFILE };
    await expect(chain(env).get()).rejects.toMatchObject({ code: "bad_token", message });
  }
});

test("then a container's endpoint, with its token; credentials are fetched again before they end", async () => {
  let nowMs = Date.UTC(2026, 0, 1);
  let given = 0;
  await using server = await endpoint({ "/creds": () => temporary(`key-${++given}`, nowMs + 3_600_000) });
  const folder = await temporaryFolder();
  await writeFile(join(folder, "token"), "container-token\n");
  const env = {
    ...OFF,
    HOME: folder,
    AWS_CONTAINER_CREDENTIALS_FULL_URI: `${server.origin}/creds`,
    AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: join(folder, "token"),
  };
  const credentials = chain(env, () => nowMs);
  expect(await credentials.get()).toMatchObject({ accessKeyId: "key-1", sessionToken: "t" });
  expect(await credentials.get()).toMatchObject({ accessKeyId: "key-1" });
  expect(server.seen).toMatchObject([{ headers: { authorization: "container-token" } }]);
  nowMs += 56 * 60_000;
  expect(await credentials.get()).toMatchObject({ accessKeyId: "key-2" });
  credentials.refused(await credentials.get());
  expect(await credentials.get()).toMatchObject({ accessKeyId: "key-3" });
});

test("credentials that end soon are fetched once for all requests, and kept if that fails", async () => {
  let [nowMs, given, isAway] = [Date.UTC(2026, 0, 1), 0, false];
  const endsMs = nowMs + 3_600_000;
  await using server = await endpoint({ "/creds": () => (isAway ? "away" : temporary(`key-${++given}`, endsMs)) });
  const env = { ...OFF, HOME: await temporaryFolder(), AWS_CONTAINER_CREDENTIALS_FULL_URI: `${server.origin}/creds` };
  const credentials = chain(env, () => nowMs);
  const asked = () => Promise.all(Array.from({ length: 8 }, async () => (await credentials.get()).accessKeyId));
  expect(new Set(await asked())).toEqual(new Set(["key-1"]));
  nowMs += 56 * 60_000;
  // The endpoint still gives the ones that end in four minutes.
  await asked();
  expect(new Set(await asked())).toEqual(new Set(["key-2"]));
  nowMs += 60_000;
  isAway = true;
  expect(new Set(await asked())).toEqual(new Set(["key-2"]));
  expect(server.seen).toHaveLength(3);
  nowMs += 240_000;
  await expect(credentials.get()).rejects.toMatchObject({ code: "bad_token" });
});

test("of requests that are refused together, the first forgets the credentials", async () => {
  let given = 0;
  await using server = await endpoint({ "/creds": () => temporary(`key-${++given}`, Date.now() + 3_600_000) });
  const env = { ...OFF, HOME: await temporaryFolder(), AWS_CONTAINER_CREDENTIALS_FULL_URI: `${server.origin}/creds` };
  const credentials = chain(env);
  const old = await credentials.get();
  credentials.refused(old);
  expect(await credentials.get()).toMatchObject({ accessKeyId: "key-2" });
  credentials.refused(old);
  expect(await credentials.get()).toMatchObject({ accessKeyId: "key-2" });
});

test("then the instance's role, by a session of version 2", async () => {
  const roles = "/latest/meta-data/iam/security-credentials/";
  await using server = await endpoint({
    "/latest/api/token": () => "session",
    [roles]: () => "role\n",
    [`${roles}role`]: () => temporary("instance-key", Date.now() + 3_600_000),
  });
  const env = { HOME: await temporaryFolder(), AWS_EC2_METADATA_SERVICE_ENDPOINT: server.origin };
  expect(await chain(env).get()).toMatchObject({ accessKeyId: "instance-key" });
  expect(server.seen.map(({ method }) => method)).toEqual(["PUT", "GET", "GET"]);
  expect(server.seen[2]?.headers).toMatchObject({ "x-aws-ec2-metadata-token": "session" });
});

test.each([
  ["not JSON", "<html>"],
  ["without a key", "{}"],
  ["of something else", '{"AccessKeyId":1,"SecretAccessKey":"secret"}'],
])("an endpoint's answer %s is an error that does not repeat it", async (_, answer) => {
  await using server = await endpoint({ "/creds": () => answer });
  const env = { ...OFF, HOME: await temporaryFolder(), AWS_CONTAINER_CREDENTIALS_FULL_URI: `${server.origin}/creds` };
  const refusal = await chain(env)
    .get()
    .catch((error: unknown) => error);
  expect(refusal).toMatchObject({ code: "bad_token" });
  expect(String(refusal)).not.toContain('secret"');
});
