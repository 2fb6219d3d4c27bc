/** What `syncline serve` refuses to start with. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { runCommandLine } from "../../../../src/cli/program.ts";
import { register } from "../../../../src/cli/commands/serve.ts";
import { createFakeRuntime } from "../../../support/fake-runtime.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

test.each([
  ["no data folder", [], "usage"],
  ["plaintext bearers between machines", ["--listen", "0.0.0.0:0"], "usage"],
  ["plaintext bearers over IPv6", ["--listen", "[::]:0"], "usage"],
  ["plaintext bearers on a named host", ["--listen", "localhost.example.org:0"], "usage"],
  ["no port", ["--listen", "127.0.0.1"], "usage"],
  ["an invalid port", ["--listen", "127.0.0.1:70000"], "usage"],
  ["a TLS certificate without its key", ["--tls-cert", "cert.pem"], "usage"],
  ["missing TLS files", ["--tls-cert", "/nowhere", "--tls-key", "/nowhere"], "config_invalid"],
  ["invalid TLS files", ["--tls-cert", "SHORT", "--tls-key", "SHORT"], "config_invalid"],
  ["an invalid wallet", ["--allow", "alice"], "bad_address"],
  ["a storage API whose address is not HTTP", ["--quota-api", "file:///etc"], "usage"],
  ["a remote storage API over plain HTTP", ["--quota-api", "http://storage.example.org"], "usage"],
  ["an invalid quota", ["--quota", "much"], "usage"],
  ["an invalid session key", ["--session-key", "SHORT"], "config_invalid"],
])("%s", async (_, args, code) => {
  const folder = await temporaryFolder();
  const short = join(folder, "short");
  writeFileSync(short, "short");
  const runtime = createFakeRuntime({});
  const data = args.length === 0 ? [] : ["--data", join(folder, "data")];
  const words = ["serve", "--json", ...data, ...args.map((word) => (word === "SHORT" ? short : word))];
  expect(await runCommandLine(words, runtime, [register], "test")).toBe(2);
  expect(JSON.parse(runtime.err())).toMatchObject({ code });
  expect(runtime.out()).toBe("");
});
