import { describe, expect, test } from "vitest";
import { parseAddress, splitAddress } from "../../../src/bucket/address.ts";

const PIN = "bafyr4ie6slwfgmp6p722bstsiftx2b6prq44d2oek4elscc55aisgsz6vi";
const OWNER = "0x17C5185167401ed00cf5f5b2fc97d9bbfdb7d025";

describe("all spellings of an address have one canonical form", () => {
  test.each([
    ["file:///srv/bucket", "file:///srv/bucket"],
    ["file:///srv/bucket/", "file:///srv/bucket"],
    ["file:///srv//photos/../%62ucket", "file:///srv/bucket"],
    ["file:///srv/50%25%20%23", "file:///srv/50%25%20%23"],
    [`file:///srv/bucket/#${PIN}`, "file:///srv/bucket"],
    ["https://Master.Example/notes", "https://master.example/notes"],
    ["HTTPS://master.example:443/notes/", "https://master.example/notes"],
    ["https://master.example:3600//notes", "https://master.example:3600/notes"],
    ["http://127.0.0.1:80/notes", "http://127.0.0.1/notes"],
    ["http://[::1]:3600/notes", "http://[::1]:3600/notes"],
    [`https://m/${OWNER}/notes`, `https://m/${OWNER.toLowerCase()}/notes`],
    ["https://a:3600,B,a:3600/notes", "https://a:3600,b/notes"],
    [`https://m/notes#${PIN}`, "https://m/notes"],
    ["s3://bucket", "s3://bucket"],
    ["s3://bucket//photos/", "s3://bucket/photos"],
    [`s3://bucket/a/b?region=eu-west-1&style=virtual#${PIN}`, "s3://bucket/a/b?region=eu-west-1"],
    [
      "s3://bucket/a?auth=wallet&endpoint=minio.example:9000&style=path",
      "s3://bucket/a?endpoint=https://minio.example:9000&auth=wallet",
    ],
    ["S3://bucket/a?endpoint=HTTP://Localhost:9000/", "s3://bucket/a?endpoint=http://localhost:9000"],
  ])("%s", (text, url) => {
    expect(parseAddress(text).url).toBe(url);
    expect(parseAddress(url).url).toBe(url);
  });
});

test("an address names the masters, the owner, the bucket and the pinned genesis", () => {
  expect(parseAddress(`https://a:3600,b/${OWNER}/notes#${PIN}`)).toMatchObject({
    scheme: "http",
    origins: ["https://a:3600", "https://b"],
    owner: OWNER.toLowerCase(),
    bucket: "notes",
    name: "notes",
    pinnedGenesis: PIN,
  });
  expect(parseAddress("http://localhost:1/notes")).toMatchObject({ owner: undefined, pinnedGenesis: undefined });
});

test("what follows the bucket in an address is a path in the bucket", () => {
  expect(splitAddress(`https://m/notes/a%2Fb/ü`).path).toEqual(["a%2Fb", "%C3%BC"]);
  expect(splitAddress(`https://m/${OWNER}/notes/x`).path).toEqual(["x"]);
  expect(splitAddress("https://m/notes/").path).toEqual([]);
});

test.each([
  ["nonsense", "bad_address"],
  ["ftp://host/bucket", "bad_address"],
  ["https://", "bad_address"],
  ["https://host", "bad_address"],
  ["https://host/", "bad_address"],
  [`https://host/${OWNER}`, "bad_address"],
  ["https://host/Notes", "bad_address"],
  ["https://host/-notes", "bad_address"],
  [`https://host/${"n".repeat(64)}`, "bad_address"],
  ["https://host/notes?x=1", "bad_address"],
  ["https://host/notes#pin", "bad_address"],
  ["https://host/notes/path", "bad_address"],
  ["https://a,,b/notes", "bad_address"],
  ["https://ho st/notes", "bad_address"],
  ["https://user:secret@host/notes", "bad_address"],
  ["s3://", "bad_address"],
  ["s3://Bucket/prefix", "bad_address"],
  ["s3://key:secret@bucket/prefix", "bad_address"],
  ["s3://bucket/a%2Fb", "bad_address"],
  ["s3://bucket/../x", "bad_address"],
  ["s3://bucket/x?secret=1", "bad_address"],
  ["s3://bucket/x?style=odd", "bad_address"],
  ["s3://bucket/x?region=evil.example/x", "bad_address"],
  ["s3://bucket/x?endpoint=https://user:secret@host", "bad_address"],
  ["s3://bucket/x?endpoint=https://host/path", "bad_address"],
])("%s is refused", (text, code) => {
  expect(() => parseAddress(text)).toThrow(expect.objectContaining({ code }));
});

test.each([
  "https://user:secret@host/notes",
  "s3://user:secret@bucket/notes",
  "s3://bucket/notes?endpoint=https://user:secret@host",
  "s3://bucket/notes?endpoint=user:secret@host",
  "s3://bucket/notes?endpoint=user:/secret@host",
  "s3://bucket/notes?endpoint=user:a&secret@host",
  "s3://bucket/notes?endpoint=user:a#secret@host",
  "s3://bucket/notes?endpoint=https%3A%2F%2Fuser%3Asecret%40host",
  "s3://bucket/notes?endpoint=https%253A%252F%252Fuser%253Asecret%2540host",
  "s3://bucket/notes?region=eu-west-1&key=secret",
  "s3://user:a/secret@bucket/notes",
  "s3://user:secret/a@bucket/notes",
  "s3://user:a?secret@bucket/notes",
  "https://user:a/secret@host/notes",
  "https://user:secret/a@host/notes",
  "user:secret@host",
])("the error for %s does not repeat its password", (text) => {
  const refusal = (() => {
    try {
      return parseAddress(text);
    } catch (error) {
      return String(error);
    }
  })();
  expect(refusal).not.toContain("secret");
});

test.each([
  ["s3://bucket/me@home?region=eu-west-1", "s3://bucket/me@home?region=eu-west-1"],
  ["s3://bucket/n?endpoint=https://user:secret@host", "s3://bucket/n?…@host"],
  ["https://[::1]:3600,b:1/notes/me@home?x=1", "https://[::1]:3600,b:1/notes/me@home?x=…"],
  ["s3://my:bucket/n", "s3://my:bucket/n"],
  ["https://ho st/notes/me@home", "https://ho st/notes/me@home"],
])("the error for %s shows the rest of the address", (text, shown) => {
  expect(() => parseAddress(text)).toThrow(JSON.stringify(shown));
});

test.skipIf(process.platform === "win32")("blanks and backslashes stay parts of names", () => {
  expect(splitAddress("http://127.0.0.1:3600/notes/ a\\b ").path).toEqual(["%20a%5Cb%20"]);
  expect(parseAddress("file:///srv/a\\b ")).toMatchObject({ path: "/srv/a\\b ", url: "file:///srv/a%5Cb%20" });
});
