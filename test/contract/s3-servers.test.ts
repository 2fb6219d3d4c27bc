/** The probe on real servers: good ones pass, and those whose conditions do not hold are refused by name. */
import { afterEach, describe, expect, test } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { systemRandom } from "../../src/base/random.ts";
import { chooseForm, probe } from "../../src/objects/s3/probe.ts";
import { s3Store, S3Server, serversHere } from "../support/s3-server.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const ROUNDS = process.env["SYNCLINE_TEST_ALL"] === undefined ? 2 : 18;
let server: S3Server | undefined;
afterEach(() => server?.kill());

async function toolsOn(name: Parameters<typeof S3Server.start>[0]) {
  server = await S3Server.start(name, await temporaryFolder());
  return { store: s3Store(server, "probed/"), clock: systemClock, random: systemRandom };
}

describe.each(serversHere("versitygw", "minio with --all", "gofakes3 with --all", "ministack with --all").here)(
  "%s",
  (name) => {
    test("keeps both conditions, also for racers that hold back the last byte", async () => {
      const tools = await toolsOn(name);
      for (let round = 0; round < ROUNDS; round++) {
        expect(await probe(tools)).toEqual({ create: undefined, replace: undefined });
      }
      expect(await chooseForm(tools, undefined)).toBe("replaced");
    });
  },
);

describe.each(serversHere("s3proxy with --all").here)("%s", (name) => {
  test("creates one object once and replaces it for several racers: it gets numbered roots", async () => {
    const tools = await toolsOn(name);
    for (let round = 0; round < 5; round++) expect(await chooseForm(tools, undefined)).toBe("numbered");
    await expect(chooseForm(tools, undefined, "replaced")).rejects.toMatchObject({ code: "not_supported" });
  });
});

const REFUSED = {
  "versitygw-1.7.0": "all succeed",
  "s3s-fs": "all succeed",
  s3mock: "all succeed",
  fauxqs: "is ignored",
} as const;
describe.each(
  serversHere("versitygw-1.7.0 with --all", "s3s-fs with --all", "s3mock with --all", "fauxqs with --all").here,
)("%s", (name) => {
  test("does not keep the conditions, and is refused", async () => {
    const tools = await toolsOn(name);
    await expect(chooseForm(tools, undefined)).rejects.toMatchObject({
      code: "not_supported",
      message: expect.stringContaining(REFUSED[name as keyof typeof REFUSED]),
    });
  });
});
