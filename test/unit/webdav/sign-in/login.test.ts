/** App passwords: how they are made and kept, and who is let in with Basic and Digest. */
import { createHash } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { systemRandom } from "../../../../src/base/random.ts";
import type { Log } from "../../../../src/base/log.ts";
import {
  type AppPassword,
  decodePasswords,
  encodePasswords,
  isPassword,
  makeAppPassword,
  randomPassword,
} from "../../../../src/webdav/sign-in/app-passwords.ts";
import { digestFields } from "../../../../src/webdav/sign-in/digest.ts";
import { Login } from "../../../../src/webdav/sign-in/login.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const MADE = "2026-01-31T12:00:00.000Z";
const PASSWORD = "right-horse";
/** So that the tests take no time; only one of them looks at the real cost. */
const CHEAP = { n: 16, r: 1, p: 1 };
let folder: string;
let plain: AppPassword;
let digest: AppPassword;

beforeAll(async () => {
  folder = await temporaryFolder();
  plain = await makeAppPassword("laptop", PASSWORD, MADE, false, systemRandom, CHEAP);
  digest = await makeAppPassword("windows", PASSWORD, MADE, true, systemRandom, CHEAP);
});

describe("an app password", () => {
  test("is random, in characters that cannot be confused", () => {
    const [one, other] = [randomPassword(systemRandom), randomPassword(systemRandom)];
    expect(one).toMatch(/^([a-hjkmnp-z2-9]{5}-){4}[a-hjkmnp-z2-9]{5}$/);
    expect(one).not.toBe(other);
  });

  test("is stored as a hash, with a new salt each time", async () => {
    const again = await makeAppPassword("laptop", PASSWORD, MADE, false, systemRandom);
    expect(again.hash).toMatchObject({ n: 16_384, r: 8, p: 5 });
    expect(await isPassword(PASSWORD, again.hash)).toBe(true);
    expect(await isPassword(PASSWORD, plain.hash)).toBe(true);
    expect(await isPassword(`${PASSWORD} `, plain.hash)).toBe(false);
    expect(again.hash.key).not.toBe(plain.hash.key);
    expect(JSON.stringify(plain)).not.toContain(PASSWORD);
    expect(plain.digest).toBeUndefined();
  });

  test("is read back from the file as written, and anything else is refused", () => {
    expect(decodePasswords(encodePasswords([plain, digest]), "f")).toEqual([plain, digest]);
    for (const text of ["", "{}", "[]", '{"version":2,"passwords":[]}', '{"version":1,"passwords":[{"name":"x"}]}']) {
      expect(() => decodePasswords(Buffer.from(text), "f")).toThrow(/f is not a list of app passwords/);
    }
  });

  test("has a name that fits in a header", async () => {
    for (const name of ["", "a:b", "a b", 'a"b', "ä", "x".repeat(65)]) {
      await expect(makeAppPassword(name, PASSWORD, MADE, false, systemRandom)).rejects.toThrow(
        /is not a valid password name/,
      );
    }
  });
});

test.each([
  ["2 TiB of memory", { n: 2 ** 17, r: 2 ** 17, p: 1 }],
  ["1 GiB of memory", { n: 2 ** 17, r: 64, p: 1 }],
  ["hours", { n: 2 ** 14, r: 8, p: 2 ** 17 }],
])("an app password file that demands %s is refused", async (_, cost) => {
  const password = await makeAppPassword("laptop", "secret", "2026-01-01", false, systemRandom);
  const bytes = encodePasswords([{ ...password, hash: { ...password.hash, ...cost } }]);
  expect(() => decodePasswords(bytes, "f")).toThrow(/f is not a list of app passwords/);
});

describe("a login", () => {
  let clock: ManualClock;
  let path: string;
  let login: Login;
  let warnings: string[];
  let agent: string;

  beforeEach(() => {
    agent = "Microsoft-WebDAV-MiniRedir/10.0.19045";
    clock = new ManualClock();
    path = join(folder, "passwords.json");
    writeFileSync(path, encodePasswords([plain, digest]));
    warnings = [];
    const log: Log = { info: () => {}, warn: (message) => void warnings.push(message), error: () => {} };
    login = new Login(path, { clock, random: systemRandom, log });
  });

  const request = (authorization: string | undefined, remoteAddress = "192.0.2.1", url = "/f", method = "GET") =>
    ({ headers: { authorization, "user-agent": agent }, socket: { remoteAddress }, method, url }) as IncomingMessage;
  const basic = (name: string, password: string) => `Basic ${Buffer.from(`${name}:${password}`).toString("base64")}`;
  const status = async (authorization: string | undefined, from?: string) =>
    (await login.check(request(authorization, from)))?.status;

  test("without a password is asked for one, and does not count as an attempt", async () => {
    for (let count = 0; count < 30; count++) expect(await status(undefined)).toBe(401);
    const asked = await login.check(request(undefined));
    expect(asked?.headers?.["www-authenticate"]).toEqual([
      expect.stringMatching(/^Digest .*algorithm=SHA-256/) as string,
      expect.stringMatching(/^Digest .*algorithm=MD5/) as string,
      'Basic realm="Syncline", charset="UTF-8"',
    ]);
    expect(warnings).toEqual([]);
  });

  test("offers Digest only if a password was made for it", async () => {
    writeFileSync(path, encodePasswords([plain]));
    const asked = await login.check(request(undefined));
    expect(asked?.headers?.["www-authenticate"]).toEqual(['Basic realm="Syncline", charset="UTF-8"']);
  });

  test("offers Digest to Windows alone: others would take it for every password", async () => {
    agent = "davfs2/1.6.1 neon/0.32.4";
    const asked = await login.check(request(undefined));
    expect(asked?.headers?.["www-authenticate"]).toEqual(['Basic realm="Syncline", charset="UTF-8"']);
    const again = await login.check(request('Digest username="laptop"'));
    expect(again?.headers?.["www-authenticate"]).toHaveLength(3);
  });

  test("with the right password is accepted; with a wrong one, another's name or another scheme it is not", async () => {
    expect(await status(basic("laptop", PASSWORD))).toBeUndefined();
    expect(await status(basic("laptop", "wrong"))).toBe(401);
    expect(await status(basic("nobody", PASSWORD))).toBe(401);
    expect(await status("Bearer abc")).toBe(401);
    expect(await status("Basic !!!")).toBe(401);
    expect(warnings).toHaveLength(2);
  });

  test("ends when the password is taken back, even if it was remembered, and when the file is gone", async () => {
    expect(await status(basic("laptop", PASSWORD))).toBeUndefined();
    writeFileSync(path, encodePasswords([digest]));
    expect(await status(basic("laptop", PASSWORD))).toBe(401);
    expect(await status(basic("windows", PASSWORD))).toBeUndefined();
    rmSync(path);
    expect(await status(basic("windows", PASSWORD))).toBe(401);
  });

  test("is watched: revoking its password, or replacing it by one of the same name, ends it", async () => {
    const recheck = login.watch(request(basic("laptop", PASSWORD)));
    expect(recheck()).toBeUndefined();
    writeFileSync(path, encodePasswords([digest]));
    expect(recheck()).toMatchObject({ status: 401 });
    const again = await makeAppPassword("laptop", PASSWORD, MADE, false, systemRandom, CHEAP);
    writeFileSync(path, encodePasswords([again]));
    expect(recheck()).toMatchObject({ status: 401 });
    expect(login.watch(request(basic("laptop", PASSWORD)))()).toBeUndefined();
    writeFileSync(path, encodePasswords([plain]));
    expect(recheck()).toBeUndefined();
  });

  test("guesses slow down whoever guesses, and nobody else", async () => {
    for (let count = 0; count < 10; count++) expect(await status(basic("laptop", `guess ${count}`))).toBe(401);
    const late = await login.check(request(basic("laptop", PASSWORD)));
    expect(late).toMatchObject({ status: 429, headers: { "retry-after": "5" } });
    expect(await status(basic("laptop", PASSWORD), "192.0.2.2")).toBeUndefined();
    // A password that was right before needs no try, wherever it comes from.
    expect(await status(basic("laptop", PASSWORD))).toBeUndefined();
    await clock.advance(5_000);
    expect(await status(basic("laptop", "guess"))).toBe(401);
    expect(await status(basic("laptop", "guess"))).toBe(429);
  });

  test("of a client that begins with many requests at once is one attempt", async () => {
    const all = Array.from({ length: 40 }, () => status(basic("laptop", PASSWORD)));
    expect(await Promise.all(all)).toEqual(Array.from({ length: 40 }, () => undefined));
    const wrong = Array.from({ length: 40 }, () => status(basic("laptop", "wrong")));
    expect(new Set(await Promise.all(wrong))).toEqual(new Set([401]));
    expect(warnings).toHaveLength(1);
  });

  test("from one IPv6 network counts as from one address", async () => {
    for (let count = 0; count < 10; count++) await status(basic("laptop", "guess"), `2001:db8::${count}`);
    expect(await status(basic("laptop", "guess"), "2001:db8::ffff")).toBe(429);
    expect(await status(basic("laptop", "guess"), "2001:db8:0:1::1")).toBe(401);
  });

  test("fails with 500 while the password file cannot be read", async () => {
    writeFileSync(path, "damaged");
    expect(await status(basic("laptop", PASSWORD))).toBe(500);
  });

  describe("with Digest", () => {
    /** As a client answers the challenge with this algorithm. */
    const answer = (challenge: string, over: Record<string, string> = {}, method = "GET") => {
      const value = (name: string) => new RegExp(`${name}="?([^",]+)`).exec(challenge)?.[1] ?? "";
      const algorithm = value("algorithm");
      const hash = (text: string) =>
        createHash(algorithm === "MD5" ? "md5" : "sha256")
          .update(text)
          .digest("hex");
      const fields = {
        username: "windows",
        realm: "Syncline",
        nonce: value("nonce"),
        uri: "/f",
        nc: "00000001",
        ...over,
      };
      const { username, realm, nonce, uri, nc } = fields;
      const ha1 = hash(`${username}:${realm}:${over["password"] ?? PASSWORD}`);
      const response = hash(`${ha1}:${nonce}:${nc}:abc:auth:${hash(`${method}:${uri}`)}`);
      return `Digest username="${username}", realm="${realm}", nonce="${nonce}", uri="${uri}", algorithm=${algorithm}, response="${response}", qop=auth, nc=${nc}, cnonce="abc"`;
    };
    const challenges = async () => {
      const headers = (await login.check(request(undefined)))?.headers?.["www-authenticate"] as string[];
      return { sha256: headers[0] ?? "", md5: headers[1] ?? "" };
    };

    test("is accepted with either hash, but not for a password that was made without Digest", async () => {
      const { sha256, md5 } = await challenges();
      expect(await status(answer(sha256))).toBeUndefined();
      expect(await status(answer(md5, { nc: "00000002" }))).toBeUndefined();
      expect(await status(answer(md5, { nc: "00000003", username: "laptop" }))).toBe(401);
      expect(await status(answer(md5, { nc: "00000004", password: "wrong" }))).toBe(401);
    });

    test("for another path, another method or another realm is refused", async () => {
      const { sha256 } = await challenges();
      expect(await status(answer(sha256, { uri: "/g" }))).toBe(401);
      expect(await status(answer(sha256, {}, "DELETE"))).toBe(401);
      expect(await status(answer(sha256, { realm: "other" }))).toBe(401);
    });

    test("is refused when it is repeated, and asked for a new answer when its nonce is old", async () => {
      const { sha256 } = await challenges();
      expect(await status(answer(sha256, { nc: "00000005" }))).toBeUndefined();
      expect(await status(answer(sha256, { nc: "00000003" }))).toBeUndefined();
      const again = await login.check(request(answer(sha256, { nc: "00000003" })));
      expect(again?.status).toBe(401);
      expect(String(again?.headers?.["www-authenticate"])).toContain("stale=true");
      await clock.advance(5 * 60_000 + 1);
      expect(await status(answer(sha256, { nc: "00000006" }))).toBe(401);
      expect(warnings).toEqual([]);
    });

    test("continues once it is signed in, even while others guess from the same address", async () => {
      const { sha256 } = await challenges();
      expect(await status(answer(sha256))).toBeUndefined();
      for (let count = 0; count < 10; count++) expect(await status(basic("laptop", `guess ${count}`))).toBe(401);
      expect(await status(answer(sha256, { nc: "00000002" }))).toBeUndefined();
      const fresh = await challenges();
      expect(await status(answer(fresh.sha256))).toBe(429);
      expect(await status(answer(sha256, { nc: "00000003", username: "laptop" }))).toBe(429);
      expect(await status(answer(sha256, { nc: "00000004", password: "wrong" }))).toBe(401);
      await clock.advance(5 * 60_000 + 1);
      expect(await status(answer(sha256, { nc: "00000005" }))).toBe(401);
    });

    test("has its fields parsed as written", () => {
      const fields = digestFields(`Digest  A = "x\\"y" , b*=c,${"d".repeat(9_000)} e=f, g="h`);
      expect([...(fields ?? [])]).toEqual([
        ["a", 'x"y'],
        ["b*", "c"],
        ["e", "f"],
      ]);
      expect(digestFields("Digestive a=b")).toBeUndefined();
    });

    test("with a foreign nonce is asked for another", async () => {
      const { sha256 } = await challenges();
      expect(await status(answer(sha256, { nonce: Buffer.alloc(32).toString("base64url") }))).toBe(401);
      expect(await status(answer(sha256, { nonce: "x" }))).toBe(401);
    });
  });
});
