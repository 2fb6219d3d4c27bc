/** What `syncline serve` refuses to start with. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { runCommandLine } from "../../../../src/cli/program.ts";
import { register } from "../../../../src/cli/commands/serve.ts";
import { createFakeRuntime } from "../../../support/fake-runtime.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

test.each([
  ["no folder", [], "usage"],
  ["bearers in the clear between machines", ["--listen", "0.0.0.0:0"], "usage"],
  ["bearers in the clear on IPv6", ["--listen", "[::]:0"], "usage"],
  ["bearers in the clear under a name", ["--listen", "localhost.example.org:0"], "usage"],
  ["no port", ["--listen", "127.0.0.1"], "usage"],
  ["a port that is none", ["--listen", "127.0.0.1:70000"], "usage"],
  ["half of TLS", ["--tls-cert", "cert.pem"], "usage"],
  ["TLS files that are not there", ["--tls-cert", "/nowhere", "--tls-key", "/nowhere"], "config_invalid"],
  ["TLS files that are none", ["--tls-cert", "SHORT", "--tls-key", "SHORT"], "config_invalid"],
  ["a wallet that is none", ["--allow", "alice"], "bad_address"],
  ["a storage API that is no address", ["--quota-api", "file:///etc"], "usage"],
  ["a storage API that others could listen to", ["--quota-api", "http://storage.example.org"], "usage"],
  ["a quota that is none", ["--quota", "much"], "usage"],
  ["a key of session tokens that is none", ["--session-key", "SHORT"], "config_invalid"],
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
